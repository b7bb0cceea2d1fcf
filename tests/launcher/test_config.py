"""The user's file: every fault is one line with file, line, key and what is allowed."""

from pathlib import Path

import jsonschema
import pytest
import yaml

from gpt_server.edge.config import EdgeSettings
from gpt_server.launcher import config as configuration
from gpt_server.launcher import demo
from gpt_server.launcher.config import EdgeConfig, ModelConfig, StackConfig
from gpt_server.launcher.stack import config_path
from gpt_server.launcher.yaml_file import BadConfig, read
from gpt_server.services.common.config import ModelSettings

FAULTS = {
    "models: {a: {engine: fake, model: x, replica: 2}}": (
        ":1: models.a.replica: unknown key; did you mean replicas? (allowed: service, engine, model, names, "
    ),
    "models:\n  a:\n    engine: fake\n": ":2: models.a.model: is required",
    "models:\n  A_b: {engine: fake, model: x}\n": ":2: models.A_b: must be a DNS label",
    "edge:\n  port: 99999\nmodels: {a: {engine: fake, model: x}}": ":2: edge.port: input should be less than or equal",
    "edge:\n  prot: 1\nmodels: {a: {engine: fake, model: x}}": ":2: edge.prot: unknown key; did you mean port?",
    "model: {}\nmodels: {a: {engine: fake, model: x}}": ":1: model: unknown key; did you mean models?",
    "models: {a: {engine: fake, model: x, service: llms}}": ":1: models.a.service: input should be 'llm'",
    "models: {}": ":1: models: name at least one model",
    "- a\n": ":1: must be a mapping of keys to values",
    "models: [": ":1: is not valid YAML:",
    "models:\n  a: {engine: fake, model: x, local: {port: 5000}, replicas: 2}": (
        ":2: models.a.local.port: one port cannot serve 2 replicas"
    ),
    "models:\n  a: {engine: fake, model: x, gpus: 1, local: {devices: [[0, 1]]}}": (
        ":2: models.a.local.devices: must have 1 lists of 1 GPUs"
    ),
    "models:\n  a: {engine: fake, model: x, names: [m]}\n  b: {engine: fake, model: x, names: [m]}": (
        ":2: models.a.names: the name 'm' is taken by more than one model"
    ),
    "models:\n  a: {engine: fake, model: x, local: {process: p}}\n"
    "  b: {engine: fake, model: x, replicas: 2, local: {process: p}}": (
        ":3: models.b.local.process: shares a process with a"
    ),
    "models:\n  a: {engine: fake, model: x, local: {port: 5000}}\n  b: {engine: fake, model: x, local: {port: 5000}}": (
        ":3: models.b.local.port: is taken by a"
    ),
    "edge: {port: 5000}\nmodels:\n  a: {engine: fake, model: x, local: {port: 5000}}": (
        ":3: models.a.local.port: is taken by edge"
    ),
    "models:\n  edge: {engine: fake, model: x}": ":2: models.edge: edge is the name of the edge's own processes",
    "models:\n  a: {engine: fake, model: x, names: [m, m]}": ":2: models.a.names: must not have a name twice",
    "models:\n  a: {engine: fake, model: x, adapters: {b: f}}\n  b: {engine: fake, model: x, names: ['a:b']}": (
        ":2: models.a.names: the name 'a:b' is taken by more than one model"
    ),
    "models:\n  local:\n    engine: fake\n    model: x\n    limits:\n      max_runing: 1": (
        ":6: models.local.limits.max_runing: unknown key; did you mean max_running? (allowed: max_running, max_queued)"
    ),
    "models:\n  a:\n    engine: fake\n    model: x\n    port: 1": ":5: models.a.port: unknown key (allowed: service, ",
}


def problems_of(path: Path) -> list[str]:
    with pytest.raises(BadConfig) as raised:
        configuration.load(path)
    return list(raised.value.problems)


@pytest.mark.parametrize("text", FAULTS, ids=range(len(FAULTS)))
def test_fault_is_named_with_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(text)
    assert problems_of(path)[0].startswith(f"{path}{FAULTS[text]}")
    assert all("\n" not in problem for problem in problems_of(path))


def test_key_that_stands_twice(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("models:\n  a: {engine: fake, model: x}\n  a: {engine: fake, model: y}\n")
    assert problems_of(path) == [f"{path}:3: models.a: stands here again"]


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("edge: {port: -1}\nmodels: {a: {engine: fake}, b: {model: x}}\n")
    assert len(problems_of(path)) == 3


def test_file_is_missing_or_no_text(tmp_path: Path) -> None:
    assert problems_of(tmp_path / "no.yaml") == [f"{tmp_path / 'no.yaml'}: No such file or directory"]
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\xfa")
    assert problems_of(tmp_path / "b.yaml") == [f"{tmp_path / 'b.yaml'}: is not UTF-8 text"]


def test_paths_are_relative_to_the_file_and_hub_ids_stay(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    models: dict[str, dict[str, object]] = {name: {"engine": "fake", "model": name} for name in ("here", "far")}
    models["far"]["model"] = "org/name"
    models["gone"] = {"engine": "fake", "model": "./gone"}
    models["here"]["adapters"] = {"low": "lora"}
    text = yaml.safe_dump({"models": models, "edge": {"api_keys_file": "keys"}, "hub": {"home": "cache"}})
    (tmp_path / "a.yaml").write_text(text)
    config, _ = configuration.load(tmp_path / "a.yaml")
    assert config.models["here"].adapters == {"low": str(tmp_path / "lora")}
    assert config.hub.home == str(tmp_path / "cache")
    assert config.models["here"].model == str(tmp_path / "here")
    assert config.models["far"].model == "org/name"
    assert config.models["gone"].model == str(tmp_path / "gone")
    assert config.edge.api_keys_file == str(tmp_path / "keys")


def test_names_default_to_the_key(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "models: {a: {engine: fake, model: x}, b: {engine: fake, model: x, names: [c, d]}}"
    )
    config, _ = configuration.load(tmp_path / "a.yaml")
    assert config.served_names("a") == ["a"]
    assert config.served_names("b") == ["c", "d"]


def test_demo_is_right_and_its_models_are_there() -> None:
    config, _ = configuration.load(config_path(None))
    # Those of the audio service lie in their libraries.
    assert all(Path(model.model).is_dir() for model in config.models.values() if model.service != "audio")
    assert {model.service for model in config.models.values()} == {"llm", "embed", "audio", "image"}
    assert demo.prepared(read(config_path(None).resolve())).path == demo.FILE


def test_demo_does_without_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an environment with the edge and one engine alone."""
    monkeypatch.setattr(demo, "WANTED", dict.fromkeys(demo.WANTED, ("no_such_library",)))
    assert [*demo.prepared(read(config_path(None).resolve())).content["models"]] == ["demo-chat"]


def test_keys_are_those_of_the_processes() -> None:
    """What the launcher hands on must exist where it goes, under the same name."""
    assert set(EdgeConfig.model_fields) - {"processes"} <= set(EdgeSettings.model_fields)
    handed_on = {"engine", "model", "names", "gpus", "limits", "adapters", "adapter_folder", "engine_args"}
    assert handed_on == set(ModelSettings.model_fields)
    assert handed_on < set(ModelConfig.model_fields)
    for name in ("host", "port"):
        assert EdgeConfig.model_fields[name].default == EdgeSettings.model_fields[name].default


def test_every_key_is_described() -> None:
    waiting = [StackConfig.model_json_schema()]
    while waiting:
        section = waiting.pop()
        waiting += section.get("$defs", {}).values()
        for name, field in section.get("properties", {}).items():
            assert field.get("description"), name


def test_schema_refuses_what_the_settings_refuse(tmp_path: Path) -> None:
    """Editors and Helm check by the schema alone."""
    schema = StackConfig.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(yaml.safe_load(config_path(None).read_text()))
    for text in (text for text in FAULTS if "unknown key" in FAULTS[text] or "is required" in FAULTS[text]):
        assert not validator.is_valid(yaml.safe_load(text)), text
