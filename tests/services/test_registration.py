"""With which address a service registers; tests/cluster registers with a real Consul."""

import pytest

from gpt_server.services.common.config import ConsulSettings
from gpt_server.services.common.registration import hosts

LOCAL = ConsulSettings()
ELSEWHERE = ConsulSettings(address="http://consul.invalid:8500")


def test_the_address_that_it_listens_on() -> None:
    assert hosts(LOCAL, "10.0.0.5") == hosts(ELSEWHERE, "10.0.0.5") == ("10.0.0.5", "10.0.0.5")


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::"])
def test_all_addresses_beside_the_agent_are_found_at_the_agents_own(wildcard: str) -> None:
    assert hosts(LOCAL, wildcard) == (None, "127.0.0.1")


def test_all_addresses_far_from_the_agent_are_found_on_the_way_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpt_server.services.common.registration._is_loopback", lambda host: False)
    assert hosts(LOCAL, "0.0.0.0") == ("127.0.0.1", "127.0.0.1")


def test_the_address_that_the_settings_name() -> None:
    assert hosts(ConsulSettings(advertise_host="node.lab"), "0.0.0.0") == ("node.lab", "node.lab")
