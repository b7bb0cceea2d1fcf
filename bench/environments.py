"""The environments of what is measured, each made from its lock when it is not there or the lock has changed."""

import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")


def environment(name: str, lock: str, *, ours: bool = False) -> Path:
    """Returns the folder of the programs of `.venvs/<name>`.

    Args:
        name: of the environment.
        lock: file in `requirements`.
        ours: whether our own package goes in, too.

    Raises:
        subprocess.CalledProcessError: it cannot be made; uv has said why.
    """
    folder, requirements = ROOT / ".venvs" / name, ROOT / "requirements" / lock
    stamp, wanted = folder / ".lock-sum", hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        inside = folder / "bin" / "python"
        _uv("venv", "--allow-existing", "--python", sys.executable, folder)
        _uv("pip", "sync", "--require-hashes", "--python", inside, requirements)
        if ours:
            _uv("pip", "install", "--no-deps", "--python", inside, "--editable", ROOT)
        stamp.write_text(wanted)
    return folder / "bin"


def _uv(*arguments: str | Path) -> None:
    subprocess.run([UV, "--quiet", *arguments], check=True)
