"""`--check` of one program over many files, in one process, since engine libraries take long to import.

python tests/kubernetes/check_settings.py MODULE FILE...: prints, as JSON, what the check of each file printed.
"""

import contextlib
import importlib
import io
import json
import sys
from collections.abc import Callable
from typing import Any

from gpt_server.services.common.main import main as service_main


def check(run: Callable[[list[str]], Any], file: str) -> Any:
    """Returns what the check of a file prints."""
    printed = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(printed):
        run(["--config", file, "--check"])
    return json.loads(printed.getvalue().splitlines()[-1])


def main(module: str, *files: str) -> None:
    """Checks the files."""
    program = importlib.import_module(f"{module}.__main__")
    modality = getattr(program, "MODALITY", None)
    run = program.main if modality is None else lambda arguments: service_main(modality, arguments)
    print(json.dumps({file: check(run, file) for file in files}))


if __name__ == "__main__":
    main(*sys.argv[1:])
