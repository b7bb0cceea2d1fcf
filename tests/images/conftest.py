"""The images that the tests run, made once."""

from collections.abc import Iterator

import pytest

from tests.images.store import Image, Store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Where images are made."""
    store = Store(tmp_path_factory.mktemp("images"))
    yield store
    store.close()


@pytest.fixture(scope="session")
def edge(store: Store) -> Image:
    """The edge's image."""
    return store.build("edge")


@pytest.fixture(scope="session")
def chat(store: Store) -> Image:
    """The image of the llm service with the hf engine, which brings the demo's model."""
    return store.build("llm-hf")
