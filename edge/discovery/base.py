"""What a source of replicas is."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that is known at one moment.

    Attributes:
        addresses: the replicas, each as `host:port`.
        expected_models: names that some replica is meant to serve, now or soon.
    """

    addresses: frozenset[str]
    expected_models: frozenset[str]


class Discovery(ABC):
    """Tells where replicas are. What they serve, and whether they are well, they say themselves: `replicas.py`."""

    @abstractmethod
    def watch(self) -> AsyncIterator[Snapshot]:
        """Yields the whole picture: as soon as it is known, and again whenever it changes. Never ends by itself.

        A source that fails keeps what it said last and goes on trying.
        """
