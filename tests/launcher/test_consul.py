"""Consul in a configuration: what processes are told. tests/cluster has a real one."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import yaml

from gpt_server.edge.config import ConsulSettings as EdgeConsul
from gpt_server.launcher import doctor, up
from gpt_server.launcher.config import ConsulConfig, ConsulTlsConfig, check
from gpt_server.launcher.consul import LocalConsul, find_binary
from gpt_server.launcher.plan import plan
from gpt_server.launcher.yaml_file import BadConfig, YamlFile
from gpt_server.services.common.config import ConsulSettings, ConsulTlsSettings

MODELS = {"a": {"engine": "fake", "model": "none", "local": {"host": "10.0.0.5"}}}
AGENT = LocalConsul("consul", 8500, 8301, 8300)


def planned(consul: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the settings of the service and of the edge."""
    file = YamlFile(None, {"models": MODELS, **({} if consul is None else {"consul": consul})}, {})
    made = plan(check(file), file, sys.executable)
    return dict(made.services[0].settings), dict(made.edges[0].settings)


def test_each_process_is_told_what_it_needs() -> None:
    told = {"address": "http://10.0.0.1:8500", "prefix": "lab"}
    service, edge = planned({**told, "advertise_host": "a.lab", "check": {"interval_s": 2}})
    assert service["consul"] == {**told, "advertise_host": "a.lab", "check": {"interval_s": 2}}
    assert service["grpc"] == {"port": 0, "host": "10.0.0.5"}
    assert edge["consul"] == told
    assert planned({})[0]["consul"] == planned({})[1]["consul"] == {}
    assert "consul" not in planned(None)[0] | planned(None)[1]


def test_keys_are_those_of_the_processes() -> None:
    assert set(ConsulConfig.model_fields) == set(ConsulSettings.model_fields)
    assert set(ConsulTlsConfig.model_fields) == set(ConsulTlsSettings.model_fields)
    assert set(EdgeConsul.model_fields) == set(ConsulConfig.model_fields) - {"advertise_host", "check"}


def test_files_are_found_beside_the_configuration(tmp_path: Path) -> None:
    content = {"models": MODELS, "consul": {"token_file": "token", "tls": {"ca_file": "ca.pem"}}}
    consul = check(YamlFile(tmp_path / "a.yaml", content, {})).consul
    assert consul is not None
    assert consul.token_file == str(tmp_path / "token")
    assert consul.tls is not None
    assert (consul.tls.ca_file, consul.tls.key_file) == (str(tmp_path / "ca.pem"), None)


def flags(tmp_path: Path, **content: Any) -> Namespace:
    """Returns the command line of a configuration with that content."""
    file = tmp_path / "a.yaml"
    file.write_text(yaml.safe_dump({"models": MODELS, **content}))
    return Namespace(model=None, config=file, host=None, port=None)


def test_agent_of_the_stacks_own(tmp_path: Path) -> None:
    config, _ = up.configuration(flags(tmp_path, consul={"prefix": "lab"}), AGENT)
    assert config.consul == ConsulConfig(address="http://127.0.0.1:8500", prefix="lab")
    with pytest.raises(BadConfig, match="names an agent, and --consul asks for another"):
        up.configuration(flags(tmp_path, consul={"address": "http://10.0.0.1:8500"}), AGENT)


def test_binary_is_the_one_in_path_or_the_newest_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert find_binary() is None
    with pytest.raises(BadConfig, match=r"--consul: no consul in PATH; .* make tools"):
        LocalConsul.find()
    built = tmp_path / "cache" / "gpt-server" / "tools" / "consul-1.2.3" / "consul"
    for program in (built, tmp_path / "consul"):
        program.parent.mkdir(parents=True, exist_ok=True)
        program.touch(mode=0o755)
        assert find_binary() == str(program)


async def test_doctor_says_that_nobody_answers(tmp_path: Path) -> None:
    config = check(YamlFile(None, {"models": MODELS, "consul": {"address": "http://127.0.0.1:1"}}, {}))
    (finding,) = await doctor._consul(config)
    assert finding.wrong
    assert finding.text.startswith("Consul at http://127.0.0.1:1 does not answer: ")
