"""The commands as a user runs them, where they can be run without a stack: bad starts get one clear line each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from gpt_server.launcher import __main__ as command
from gpt_server.launcher.config import StackConfig


def gpt_server(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gpt_server.launcher", *arguments],
        cwd=cwd,
        env={**os.environ, "XDG_STATE_HOME": str(cwd), "XDG_DATA_HOME": str(cwd), **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_bad_starts_get_one_line(tmp_path: Path) -> None:
    cases = {
        "models:\n  a: {engine: hf, model: ./nothing}\n": (
            f"{tmp_path}/my.yaml:2: models.a.model: no such folder: {tmp_path}/nothing"
        ),
        "models:\n  a: {engine: hg, model: x}\n": f"{tmp_path}/my.yaml:2: models.a.engine: unknown engine 'hg';",
        "models:\n  a:\n    engine: hf\n    model: org/x\n    engine_args: {dtyp: float32}\n": (
            f"{tmp_path}/my.yaml:5: models.a.engine_args.dtyp: unknown; allowed are"
        ),
        "edge:\n  host: 0.0.0.0\nmodels: {a: {engine: fake, model: x}}\n": (
            f"{tmp_path}/my.yaml:1: edge: host 0.0.0.0 can"
        ),
        "edge:\n  request_timeout_s: -1\nmodels: {a: {engine: fake, model: x}}\n": (
            f"{tmp_path}/my.yaml:2: edge.request_timeout_s: input should be greater than 0"
        ),
    }
    for text, said in cases.items():
        (tmp_path / "my.yaml").write_text(text)
        done = gpt_server("up", "-c", str(tmp_path / "my.yaml"), "--check", cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert done.stderr.startswith(f"gpt-server: {said}")


def test_right_configuration_is_said_to_be_right(tmp_path: Path) -> None:
    (tmp_path / "gpt-server.yaml").write_text("models: {a: {engine: fake, model: x}}")
    done = gpt_server("up", "--check", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "gpt-server.yaml is right\n")


def test_model_on_the_command_line(tmp_path: Path) -> None:
    done = gpt_server("up", str(tmp_path / "none"), "--check", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"gpt-server: models.none.model: no such folder: {tmp_path}/none\n"
    assert gpt_server("up", "org/Name.X", "--engine", "fake", "--check", cwd=tmp_path).returncode == 0


def test_doctor_says_what_stops_a_start(tmp_path: Path) -> None:
    (tmp_path / "gpt-server.yaml").write_text("edge: {port: 0}\nmodels: {a: {engine: fake, model: x}}")
    done = gpt_server("doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    for word in ("Python 3.", "GiB of memory free", "engine hf (llm)", "all settings are right"):
        assert word in done.stdout
    (tmp_path / "gpt-server.yaml").write_text("models: {a: {engine: nope, model: x}}")
    done = gpt_server("doctor", cwd=tmp_path)
    assert done.returncode == 1
    assert "✗ gpt-server.yaml:1: models.a.engine: unknown engine 'nope'" in done.stdout


def test_models_lists_configured_and_downloaded(tmp_path: Path) -> None:
    (tmp_path / "hub" / "models--org--name").mkdir(parents=True)
    (tmp_path / "gpt-server.yaml").write_text(yaml.safe_dump({"models": {"a": {"engine": "fake", "model": "x"}}}))
    done = gpt_server("models", cwd=tmp_path, HF_HOME=str(tmp_path))
    assert done.returncode == 0
    assert "llm/fake × 1  x  served as a" in done.stdout
    assert done.stdout.endswith("Downloaded from the hub:\n  org/name\n")


def test_engines_list_and_refusals(tmp_path: Path) -> None:
    assert "hf           llm" in gpt_server("engines", "list", cwd=tmp_path).stdout
    done = gpt_server("engines", "install", "nope", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        2,
        "gpt-server: unknown engine 'nope'; engines: diffusers, espeak, fake, funasr, hf, infinity, lmdeploy, "
        "pocketsphinx, sentence_transformers, sglang, spark_tts, vllm, vllm_omni, whisper\n",
    )
    done = gpt_server("engines", "install", "fake", cwd=tmp_path)
    assert done.stderr == "gpt-server: the fake engine needs no environment of its own\n"


def test_schema_is_that_of_the_settings(tmp_path: Path) -> None:
    assert json.loads(gpt_server("schema", cwd=tmp_path).stdout) == StackConfig.model_json_schema()


def test_python_is_too_old(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    assert command.main(["schema"]) == 2
    assert capsys.readouterr().err == "gpt-server: Python 3.11, 3.12 or 3.13 is needed; this is Python 3.10.\n"
