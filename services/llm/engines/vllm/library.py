"""How vLLM is told to behave inside a service. Imported before anything of vLLM's."""

import os

#: What vLLM reads when it is imported, where the operator has not set it.
ENVIRONMENT = {
    # This process has threads of gRPC's, which a fork would not survive.
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    # Its log lines are ours: one shape, on standard error.
    "VLLM_CONFIGURE_LOGGING": "0",
    # A service tells nobody outside what it runs.
    "VLLM_NO_USAGE_STATS": "1",
}

for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)
