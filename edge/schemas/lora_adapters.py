"""The bodies of POST /v1/load_lora_adapter and POST /v1/unload_lora_adapter, in vLLM's shapes."""

from typing import ClassVar

from pydantic import Field

from gpt_server.edge.schemas.base import Body, FieldTable
from gpt_server.edge.schemas.fields import LOAD_ADAPTER_FIELDS, UNLOAD_ADAPTER_FIELDS


class LoadAdapterRequest(Body):
    """An adapter, and where it lies."""

    fields: ClassVar[FieldTable] = LOAD_ADAPTER_FIELDS

    lora_name: str = Field(min_length=1, description="Name of the adapter; it is asked for by `<model>:<name>` too.")
    lora_path: str = Field(min_length=1, description="Its folder, inside the services' adapter folder.")
    base_model_name: str | None = Field(
        default=None, description="The model that it is for. Unset: the only one that loads adapters."
    )
    load_inplace: bool | None = Field(default=None, description="Whether it replaces one of its name.")


class UnloadAdapterRequest(Body):
    """The name of an adapter."""

    fields: ClassVar[FieldTable] = UNLOAD_ADAPTER_FIELDS

    lora_name: str = Field(min_length=1, description="Name of the adapter.")
