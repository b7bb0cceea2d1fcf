"""Settings: what is allowed, and that each has a description to make the reference from."""

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from gpt_server.services.common.config import ModelSettings, ServiceSettings, TlsSettings, served_names
from gpt_server.services.common.settings import problems_of

MODEL: dict[str, Any] = {"engine": "fake", "model": "none"}
TLS = {"cert_file": "c", "key_file": "k"}


def problems(**settings: Any) -> dict[str, str]:
    """What is wrong with settings, by key path."""
    with pytest.raises(ValidationError) as refused:
        ServiceSettings(**{"replica": "r", "models": {"m": MODEL}, **settings})
    return {problem.key: problem.message for problem in problems_of(refused.value, ServiceSettings)}


@pytest.mark.parametrize(
    ("settings", "key", "message"),
    [
        ({"port": 1}, "port", "unknown key; allowed: replica, grpc, admin, consul, announce_file"),
        ({"grpc": {"tls": {**TLS, "ca": "x"}}}, "grpc.tls.ca", "unknown key; allowed: cert_file, key_file"),
        ({"grpc": {"port": 65536}}, "grpc.port", "must be less than or equal to 65535"),
        ({"grpc": {"default_timeout_s": float("inf")}}, "grpc.default_timeout_s", "must be a finite number"),
        ({"models": {"Big": MODEL}}, "models.Big", "must be a DNS label"),
        ({"models": {"-m": MODEL}}, "models.-m", "must be a DNS label"),
        ({"models": {"m": {"model": "x"}}}, "models.m.engine", "is required"),
        ({"models": {"m": {**MODEL, "gpu": 1}}}, "models.m.gpu", "unknown key; allowed: engine, model, names"),
        ({"models": {"m": {**MODEL, "limits": {"max": 1}}}}, "models.m.limits.max", "allowed: max_running, max_queued"),
        ({"models": {"m": {**MODEL, "names": ["a b"]}}}, "models.m.names.0", "should match pattern"),
        ({"models": {"m": {**MODEL, "adapters": {"a/b": "x"}}}}, "models.m.adapters.a/b", "must be a name"),
        ({"log": {"format": "xml"}}, "log.format", "must be 'text' or 'json'"),
        (
            {"models": {"m": {**MODEL, "names": ["x", "x:y"]}, "n": {**MODEL, "names": ["x"], "adapters": {"y": "f"}}}},
            "",
            "served under more than one model: x, x:y",
        ),
    ],
)
def test_problems_are_told_by_key_path(settings: dict[str, Any], key: str, message: str) -> None:
    found = problems(**settings)
    assert list(found) == [key]
    assert message in found[key]


def test_a_model_is_served_under_its_key_its_names_and_its_adapters() -> None:
    assert served_names("m", ModelSettings(**MODEL)) == {"m": None}
    full = ModelSettings(**MODEL, names=("main", "alias"), adapters={"poet": "folder"})
    assert served_names("m", full) == {"main": None, "alias": None, "main:poet": "poet", "poet": "poet"}
    assert next(iter(served_names("m", full))) == "main"


def test_settings_cannot_be_changed() -> None:
    settings = ServiceSettings(replica="r", models={"m": ModelSettings(**MODEL)})
    with pytest.raises(ValidationError):
        settings.replica = "other"
    with pytest.raises(ValidationError):
        settings.grpc.port = 1


def sections(settings: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A settings class and those in it."""
    yield settings
    for field in settings.model_fields.values():
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from sections(kind)


def test_every_field_is_described() -> None:
    classes = list(sections(ServiceSettings))
    assert TlsSettings in classes  # those in those, too
    for settings in classes:
        assert settings.__doc__
        for name, field in settings.model_fields.items():
            description = field.description or ""
            assert description.endswith("."), f"{settings.__name__}.{name}"
            assert "in seconds" in description or not name.endswith("_s")
            assert "in bytes" in description or not name.endswith("_bytes")
