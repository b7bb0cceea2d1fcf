"""Replicas from the settings, and from a file that the launcher rewrites."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Collection
from pathlib import Path

from gpt_server.edge.config import DiscoverySettings
from gpt_server.edge.discovery.base import Discovery, Snapshot
from gpt_server.edge.files import version_of

POLL_S = 0.5

log = logging.getLogger(__name__)


class StaticDiscovery(Discovery):
    """The addresses of the settings, and those of a JSON file `{"addresses": [...], "expected_models": [...]}`."""

    def __init__(self, settings: DiscoverySettings, expected_models: Collection[str]) -> None:
        self._file = settings.file
        self._own = Snapshot(frozenset(settings.addresses), frozenset(expected_models))

    async def watch(self) -> AsyncIterator[Snapshot]:
        """Yields at once what the settings say; with a file, as soon as it can be read, and when it changes."""
        if self._file is None:
            yield self._own
            await asyncio.Event().wait()
            return
        seen: object = ()
        told: Snapshot | None = None
        while True:
            if (version := version_of(self._file)) != seen:
                seen = version
                found = self._read(self._file)
                if found is not None and found != told:
                    told = found
                    yield found
            await asyncio.sleep(POLL_S)

    def _read(self, file: Path) -> Snapshot | None:
        try:
            content = json.loads(file.read_bytes())
            addresses, models = content["addresses"], content.get("expected_models", [])
            for names in (addresses, models):
                if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                    raise TypeError("addresses and expected_models must be lists of strings")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("cannot read the list of replicas %s: %s", file, error)
            return None
        return Snapshot(self._own.addresses | set(addresses), self._own.expected_models | set(models))
