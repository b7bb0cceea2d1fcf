"""Engines and the Python environments they run in: which there are, where they are, how one is made."""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from gpt_server.launcher import folders
from gpt_server.launcher.wheel import our_wheel

NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


class EngineProblem(Exception):
    """An engine cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine as the launcher knows it.

    Attributes:
        service: the modality it is for.
        name: what configurations call it; unique in its modality.
        library: module that must be importable where it runs; empty if it needs none.
        environment: name of its own environment, which engines of one library share; empty if it needs none.
    """

    service: str
    name: str
    library: str = ""
    environment: str = ""

    @property
    def folder(self) -> Path:
        """Where its own environment lies, made or not."""
        return folders.environments() / self.environment

    @property
    def python(self) -> Path | None:
        """The Python it runs in: its own environment's, else this one if it has the library, else `None`."""
        own = self.folder / "bin" / "python"
        if self.environment and own.exists():
            return own
        return Path(sys.executable) if not self.library or importlib.util.find_spec(self.library) else None

    def is_whole(self, python: Path) -> bool:
        """Whether an interpreter finds its library and our own package; nothing is imported."""
        wanted = [f"gpt_server.services.{self.service}", *filter(None, [self.library])]
        code = f"import sys, importlib.util as u; sys.exit(not all(map(u.find_spec, {wanted})))"
        return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0


ENGINES: Sequence[Engine] = (
    Engine("llm", "hf", "transformers", "llm-hf"),
    Engine("llm", "vllm", "vllm", "vllm"),
    Engine("llm", "sglang", "sglang", "sglang"),
    Engine("llm", "lmdeploy", "lmdeploy", "lmdeploy"),
    Engine("llm", "fake"),
    Engine("embed", "sentence_transformers", "sentence_transformers", "embed-sentence-transformers"),
    Engine("embed", "vllm", "vllm", "vllm"),
    Engine("embed", "infinity", "infinity_emb", "embed-infinity"),
    Engine("embed", "fake"),
    Engine("audio", "funasr", "funasr", "audio"),
    Engine("audio", "whisper", "transformers", "audio"),
    Engine("audio", "spark_tts", "flashtts", "audio-spark"),
    Engine("audio", "vllm_omni", "vllm_omni", "vllm-omni"),
    Engine("audio", "pocketsphinx", "pocketsphinx", "audio"),
    Engine("audio", "espeak", "espeakng_loader", "audio"),
    Engine("audio", "fake"),
    Engine("image", "diffusers", "diffusers", "image-diffusers"),
    Engine("image", "fake"),
)

#: Environment -> lock for machines without a GPU, lock for those with one.
LOCKS: Mapping[str, tuple[str, str]] = {
    "llm-hf": ("llm-hf.lock", "llm-hf.lock"),
    "embed-sentence-transformers": ("embed-sentence-transformers.lock", "embed-sentence-transformers.lock"),
    "audio": ("audio.lock", "audio.lock"),
    "audio-spark": ("audio-spark.lock", "audio-spark.lock"),
    "image-diffusers": ("image-diffusers.lock", "image-diffusers.lock"),
    "embed-infinity": ("embed-infinity.lock", "embed-infinity.lock"),
    "vllm": ("vllm-cpu.lock", "vllm-cuda.lock"),
    "sglang": ("sglang-cpu.lock", "sglang-cuda.lock"),
    "lmdeploy": ("lmdeploy-cpu.lock", "lmdeploy-cuda.lock"),
    "vllm-omni": ("vllm-omni-cuda.lock", "vllm-omni-cuda.lock"),  # it does not run without a GPU
}


def find(service: str, name: str) -> Engine:
    """Returns an engine of a modality. Raises `EngineProblem`: there is none of that name."""
    known = {engine.name: engine for engine in ENGINES if engine.service == service}
    if name in known:
        return known[name]
    meant = get_close_matches(name, known, 1)
    guess = f"did you mean {meant[0]}? " if meant else ""
    raise EngineProblem(f"unknown engine {name!r}; {guess}engines of {service}: {', '.join(sorted(known))}")


def install(name: str, folder: Path | None = None, python: str | None = None, device: str | None = None) -> Path:
    """Makes an engine's environment from its lock, with our own package in it.

    Args:
        name: of the engine, in whatever modality.
        folder: where; its usual place if `None`.
        python: interpreter of the environment; this one if `None`.
        device: `cpu` or `cuda`; what the machine has if `None`.

    Returns:
        The environment's Python.

    Raises:
        EngineProblem: there is nothing to install, uv is missing, or a step has failed.
    """
    engine = _with_environment(name)
    lock = LOCKS[engine.environment][(device or present_device()) == "cuda"]
    target = folder or engine.folder
    inside = target / "bin" / "python"
    try:
        with tempfile.TemporaryDirectory() as scratch:
            wheel = our_wheel(Path(scratch), uv())
            _uv("venv", "--allow-existing", "--python", python or sys.executable, target)
            _uv("pip", "sync", "--require-hashes", "--python", inside, folders.locks() / lock)
            _uv("pip", "install", "--no-deps", "--python", inside, wheel)
    except subprocess.CalledProcessError as error:
        command = " ".join(error.cmd[1:3])
        raise EngineProblem(f"uv {command} has failed with exit code {error.returncode}; see above") from None
    return inside


def present_device() -> str:
    """Returns `cuda` where an NVIDIA driver is loaded, else `cpu`."""
    return "cuda" if NVIDIA_DRIVER.exists() else "cpu"


def _with_environment(name: str) -> Engine:
    engines = [engine for engine in ENGINES if engine.name == name]
    if not engines:
        raise EngineProblem(f"unknown engine {name!r}; engines: {', '.join(sorted({one.name for one in ENGINES}))}")
    for engine in engines:
        if engine.environment:
            return engine
    raise EngineProblem(f"the {name} engine needs no environment of its own")


def uv() -> str:
    """Returns the path of uv. Raises `EngineProblem`: it is not installed."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise EngineProblem("uv is not installed; install it with: pip install uv")
    return found


def _uv(*arguments: str | Path) -> None:
    subprocess.run([uv(), *map(str, arguments)], check=True)
