"""The demo's models for embeddings, reranking and moderation, which are made where it is first started from a wheel."""

import subprocess
import sys
from pathlib import Path

from gpt_server.launcher.yaml_file import BadConfig, YamlFile

FILE = Path(__file__).resolve().with_name("demo.yaml")
MODELS = FILE.parents[1] / "models" / "demo"


def prepared(file: YamlFile) -> YamlFile:
    """Returns the file as it is; if it is the demo's, what it needs is there. Raises `BadConfig`."""
    if file.path is None or file.path.resolve() != FILE or (MODELS / "composed").is_dir():
        return file
    made = subprocess.run([sys.executable, MODELS / "compose.py"], capture_output=True, text=True, check=False)
    if made.returncode:
        raise BadConfig([made.stderr.strip().removeprefix("gpt-server: ")])
    return file
