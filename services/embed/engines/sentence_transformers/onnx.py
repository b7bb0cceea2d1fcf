"""An exported transformer in place of the torch one: onnxruntime computes, the library's modules do the rest."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from transformers.utils.generic import ModelOutput


class OnnxTransformer(torch.nn.Module):
    """Looks like the transformer that it was exported from.

    Args:
        file: the export; inputs and outputs have the names that they have in transformers.
        original: the transformer that it stands for.
        threads: threads of a forward pass.
    """

    def __init__(self, file: Path, original: torch.nn.Module, threads: int) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.config: Any = original.config
        self.dtype = torch.float32
        self.device = torch.device("cpu")
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self._inputs = [entry.name for entry in self._session.get_inputs()]
        self._outputs = [entry.name for entry in self._session.get_outputs()]
        known = inspect.signature(original.forward).parameters
        if unknown := set(self._inputs) - set(known):
            raise RuntimeError(f"{file} wants inputs that the model does not have: {', '.join(sorted(unknown))}")

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
        **rest: Any,
    ) -> ModelOutput:
        """Returns the outputs by name, as torch tensors."""
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        if given["token_type_ids"] is None:
            given["token_type_ids"] = torch.zeros_like(input_ids)
        feeds = {name: np.asarray(given[name]) for name in self._inputs}
        found = self._session.run(self._outputs, feeds)
        return ModelOutput({name: torch.from_numpy(row) for name, row in zip(self._outputs, found, strict=True)})
