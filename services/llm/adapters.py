"""Adapters (LoRA) that come and go while a model runs.

An adapter is loaded when it is asked for: by `LoadAdapter`, or by the first request that names it. It is unloaded when
the last request that uses it has ended; no new one begins in the meantime.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpt_server.services.common.changes import Changes
from gpt_server.services.common.errors import InvalidField, ModelNotFound, UnsupportedFeature
from gpt_server.services.common.models import Models, ServedModel
from gpt_server.services.llm.engine import LLMEngine

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
#: The file by which a folder is known as an adapter in PEFT's format.
CONFIG_FILE = "adapter_config.json"

Model = ServedModel[LLMEngine]


class Adapters:
    """The adapters of all models of the process."""

    def __init__(self, models: Models[LLMEngine]) -> None:
        self._models = models
        self._folders: dict[tuple[str, str], Path] = {}
        self._running: Counter[tuple[str, str]] = Counter()
        self._ended = Changes()
        self._locks = {model.key: asyncio.Lock() for model in models}
        self._tasks: set[asyncio.Task[Any]] = set()

    @contextmanager
    def using(self, model: Model, adapter: str | None) -> Iterator[None]:
        """Keeps an adapter loaded while the context is open."""
        key = (model.key, adapter or "")
        self._running[key] += 1
        try:
            yield
        finally:
            self._running[key] -= 1
            self._ended.notify()

    async def resolve(self, name: str) -> tuple[Model, str | None]:
        """Returns what `Models.resolve` does, and loads the adapter that is meant if its folder is there.

        Raises:
            ServiceError: as `Models.resolve` and `load`.
        """
        try:
            return self._models.resolve(name)
        except ModelNotFound:
            base, mark, adapter = name.rpartition(":")
            if not mark or not self._is_available(base, adapter):
                raise
        model, _ = self._models.resolve(base)
        await self.load(model, adapter, "", replace=False)
        return self._models.resolve(f"{model.primary_name}:{adapter}")

    async def load(self, model: Model, adapter: str, folder: str, *, replace: bool) -> None:
        """Loads an adapter; nothing happens if it is loaded from the same folder already.

        Args:
            model: what it is for.
            adapter: its name.
            folder: relative to the adapter folder, or a whole path inside it; empty: the folder of its name.
            replace: whether one of this name that is loaded goes first.

        Raises:
            InvalidField: name or folder is not allowed, or the folder has no adapter that fits.
            UnsupportedFeature: adapters cannot be loaded here.
        """
        if not NAME.fullmatch(adapter):
            raise InvalidField(
                "name", "must be up to 63 letters, digits, '.', '_' and '-', the first a letter or digit"
            )
        path = _inside(model, folder or adapter)
        await self._whole(self._load(model, adapter, path, replace))

    async def unload(self, name: str) -> None:
        """Unloads an adapter by a served name of it. Raises `ModelNotFound`, `UnsupportedFeature`."""
        model, adapter = self._models.resolve(name)
        if adapter is None:
            raise ModelNotFound(
                f"{name[:100]!r} is a model, not an adapter; adapters: {', '.join(model.adapters) or 'none'}"
            )
        await self._whole(self._unload(model, adapter))

    def running(self, model: Model, adapter: str) -> int:
        """Returns how many requests use an adapter."""
        return self._running[model.key, adapter]

    def available(self, model: Model) -> list[str]:
        """Returns the adapters that the model's folder holds."""
        folder = model.adapter_folder
        if folder is None or not folder.is_dir():
            return []
        return [path.parent.name for path in folder.glob(f"*/{CONFIG_FILE}") if NAME.fullmatch(path.parent.name)]

    def _is_available(self, base: str, adapter: str) -> bool:
        found = (model for model in self._models if model.names.get(base, "") is None)
        return any(adapter in self.available(model) for model in found)

    async def _whole(self, work: Coroutine[Any, Any, None]) -> None:
        """Awaits work that goes on when its caller leaves: nothing is half loaded."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def _load(self, model: Model, adapter: str, path: Path, replace: bool) -> None:
        async with self._locks[model.key]:
            if adapter in model.adapters:
                if not replace and self._folders.get((model.key, adapter)) == path:
                    return
                if not replace:
                    raise InvalidField("name", f"an adapter {adapter!r} of another folder is loaded")
                await self._take_out(model, adapter)
            elif taken := self._models.taken(model, adapter):
                raise InvalidField("name", f"{taken!r} is served here already")
            await model.engine.load_adapter(adapter, path)
            self._models.add_adapter(model, adapter)
            self._folders[model.key, adapter] = path

    async def _unload(self, model: Model, adapter: str) -> None:
        async with self._locks[model.key]:
            if adapter in model.adapters:
                await self._take_out(model, adapter)

    async def _take_out(self, model: Model, adapter: str) -> None:
        self._models.remove_adapter(model, adapter)
        await self._ended.until(lambda: not self._running[model.key, adapter])
        await model.engine.unload_adapter(adapter)
        self._folders.pop((model.key, adapter), None)


def _inside(model: Model, folder: str) -> Path:
    """Returns a folder below the model's adapter folder, wherever links lead."""
    if model.adapter_folder is None:
        raise UnsupportedFeature("model", f"{model.primary_name!r} has no adapter_folder to load adapters from")
    root = model.adapter_folder.resolve()
    path = (root / folder).resolve()
    if root not in path.parents:
        raise InvalidField("folder", "must be inside the service's adapter folder")
    if not (path / CONFIG_FILE).is_file():
        raise InvalidField("folder", f"has no {CONFIG_FILE}: not an adapter's folder")
    return path
