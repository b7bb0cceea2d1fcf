"""Every environment that a lock describes can import the stubs, and no lock names a host."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
CLIENTS = ROOT / "tests" / "clients" / "locks"
LOCKS_OF_NODE = [*sorted(CLIENTS.glob("*/package-lock.json")), ROOT / "clients" / "node" / "package-lock.json"]
# Locks of environments in which no process of ours runs.
WITHOUT_STUBS = {"uv.lock", "engine-tests.lock", "bench-litellm.lock"}


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:3])


def pins(lock: Path) -> dict[str, list[str]]:
    """Package -> versions; a lock for several Pythons may hold more than one."""
    found: dict[str, list[str]] = {}
    for name, pin in re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", lock.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(pin)
    return found


def stubs_need() -> dict[str, tuple[int, ...]]:
    """The least versions that the generated code checks for when it is imported."""
    generated = ROOT / "protos" / "gen" / "gpt_server" / "llm" / "v1"
    messages = (generated / "llm_service_pb2.py").read_text()
    services = (generated / "llm_service_pb2_grpc.py").read_text()
    protobuf = re.search(r"Protobuf Python Version: ([\d.]+)", messages)
    grpcio = re.search(r"GRPC_GENERATED_VERSION = '([\d.]+)'", services)
    assert protobuf
    assert grpcio
    return {"protobuf": version(protobuf[1]), "grpcio": version(grpcio[1])}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_lock_satisfies_the_stubs(lock: Path) -> None:
    if lock.name in WITHOUT_STUBS:
        assert "grpcio" not in pins(lock)
        return
    for package, least in stubs_need().items():
        assert pins(lock)[package]
        for pin in pins(lock)[package]:
            assert version(pin) >= least, f"{package} {pin}"


@pytest.mark.parametrize(
    "lock", [*LOCKS, *sorted(CLIENTS.glob("*/*.lock"))], ids=lambda lock: lock.parent.name + lock.name
)
def test_lock_is_hashed_and_names_no_host(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    for entry in re.split(r"\n(?=[a-z0-9])", text):
        if "==" in entry.split("\n")[0]:
            assert "--hash=sha256:" in entry, entry.split("\n")[0]


@pytest.mark.parametrize("lock", LOCKS_OF_NODE, ids=lambda lock: lock.parent.name)
def test_lock_of_node_is_hashed_and_names_no_host(lock: Path) -> None:
    packages = json.loads(lock.read_text())["packages"]
    assert packages.pop("")["dependencies"] == json.loads((lock.parent / "package.json").read_text())["dependencies"]
    assert packages
    for name, package in packages.items():
        assert package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package, name
