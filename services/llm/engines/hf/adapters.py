"""Adapters (LoRA) on the model in memory, by PEFT: rows with different ones run in the same step."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt_server.services.common.errors import InvalidField

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel

#: What PEFT calls a row without an adapter.
_NONE = "__base__"


class Adapters:
    """The adapters of one model. Belongs to the thread that runs the model."""

    def __init__(self, model: Any) -> None:
        self._base = model
        self._with_adapters: PeftModel | None = None

    @property
    def model(self) -> Any:
        """What is called for a step: the model itself while there are no adapters."""
        return self._with_adapters or self._base

    def options(self, adapters: Sequence[str | None]) -> dict[str, Any]:
        """Returns what the model is told beside its inputs. `adapters`: for each row its own, or `None`."""
        if self._with_adapters is None:
            return {}
        return {"adapter_names": [adapter or _NONE for adapter in adapters]}

    def load(self, name: str, folder: Path) -> None:
        """Loads one. Raises `InvalidField`: it is of another kind, or does not fit the model."""
        # PEFT takes seconds to import, and most models have no adapters.
        from peft import PeftConfig, PeftModel

        try:
            config = PeftConfig.from_pretrained(str(folder))
            _check(config)
            if self._with_adapters is None:
                self._with_adapters = PeftModel.from_pretrained(self._base, str(folder), name, config=config)
            else:
                self._with_adapters.load_adapter(str(folder), name)
        except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
            self._forget(name)
            raise InvalidField("folder", f"the adapter does not fit the model: {error}") from error

    def unload(self, name: str) -> None:
        """Frees one that no row uses."""
        self._forget(name)

    def _forget(self, name: str) -> None:
        adapted = self._with_adapters
        if adapted is None:
            return
        if set(adapted.peft_config) <= {name}:
            self._base = adapted.unload()
            self._with_adapters = None
        elif name in adapted.peft_config:
            adapted.delete_adapter(name)


def _check(config: "PeftConfig") -> None:
    from peft import LoraConfig

    if not isinstance(config, LoraConfig):
        raise ValueError(f"it is of type {config.peft_type}; only LoRA can be told from row to row")
    further = ("use_dora", "modules_to_save", "trainable_token_indices", "lora_bias")
    if found := [name for name in further if getattr(config, name, None)]:
        raise ValueError(f"{', '.join(found)} cannot be told from row to row")
