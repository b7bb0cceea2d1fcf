"""Our own distribution as a wheel, to install it into the environments of engines, offline as well."""

import json
import subprocess
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

NAME = "gpt-server"


def our_wheel(folder: Path, uv: str) -> Path:
    """Makes the wheel in `folder` and returns its path: built from the checkout, or packed from what is installed."""
    installed = distribution(NAME)
    if checkout := _checkout(installed):
        subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(checkout)], check=True)
        return next(folder.glob("*.whl"))
    return pack(installed, folder)


def _checkout(installed: Distribution) -> Path | None:
    """Returns the folder that an editable installation points to."""
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    if not origin.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlsplit(origin["url"]).path))


def pack(installed: Distribution, folder: Path) -> Path:
    """Writes the files of an installed wheel into a wheel in `folder` again, without what the installer added."""
    wheel = folder / f"gpt_server-{installed.version}-py3-none-any.whl"
    added = {"INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json"}
    record = None
    lines = []
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in installed.files or ():
            if file.name == "RECORD":
                record = str(file)
            if ".." in file.parts or file.suffix == ".pyc" or file.name in added:
                continue
            archive.write(str(file.locate()), str(file))
            digest = f"{file.hash.mode}={file.hash.value}" if file.hash else ""
            lines.append(f"{file},{digest},{file.size if file.size is not None else ''}\n")
        archive.writestr(str(record), "".join(lines) + f"{record},,\n")
    return wheel
