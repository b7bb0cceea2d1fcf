"""How SGLang is told to behave inside a service. Imported before anything of SGLang's."""

import os
from pathlib import Path

#: What SGLang reads when it is imported, where the operator has not set it.
ENVIRONMENT = {
    # A file that changes nothing: its log lines are ours, of one shape, on standard error.
    "SGLANG_LOGGING_CONFIG_PATH": str(Path(__file__).with_name("logging.json")),
}

for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)
