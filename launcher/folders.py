"""Where things lie on a machine: the XDG folders. The only file of the launcher that asks the environment for them."""

import os
from pathlib import Path

LAUNCHER = Path(__file__).resolve().parent
PACKAGED_LOCKS = LAUNCHER / "locks"
"""Is there in an installed wheel, not in a checkout."""


def state() -> Path:
    """Returns the folder of what running stacks write."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "gpt-server"


def environments() -> Path:
    """Returns the folder of the engines' environments: a checkout has its own, for they hold our code too."""
    if not PACKAGED_LOCKS.is_dir():
        return LAUNCHER.parent / ".venvs"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "gpt-server" / "engines"


def tools() -> Path:
    """Returns the folder of the programs that `make tools` has built."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gpt-server" / "tools"


def locks() -> Path:
    """Returns the folder of the lock files: in the wheel beside this file, in a checkout in `requirements/`."""
    return PACKAGED_LOCKS if PACKAGED_LOCKS.is_dir() else LAUNCHER.parent / "requirements"


def hub(home: str | None = None) -> Path:
    """Returns the folder of models that were downloaded from a hub."""
    base = home or os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface"
    return Path(base) / "hub"
