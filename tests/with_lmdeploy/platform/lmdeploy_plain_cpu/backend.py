"""Operations that LMDeploy has for devices alone, in plain torch: attention, adapters, seeded draws."""

from typing import Any

import torch
from lmdeploy.pytorch.backends.attention import AttentionImpl, AttentionMetadata, PagedAttentionBuildSpec
from lmdeploy.pytorch.backends.default.op_backend import DefaultOpsBackend
from lmdeploy.pytorch.backends.flash_attention import FlashAttentionBuildSpec, FlashAttentionImpl
from lmdeploy.pytorch.backends.lora import LoRABuildSpec, LoRAImpl
from lmdeploy.pytorch.backends.multinomial_sampling import MultinomialSamplingBuildSpec, MultinomialSamplingImpl

from . import Device

attend = torch.nn.functional.scaled_dot_product_attention


class _PagedAttention(AttentionImpl):  # type: ignore[misc]
    def forward(
        self, query: Any, key: Any, value: Any, k_cache: Any, v_cache: Any, attn_metadata: Any, *_: Any, **__: Any
    ) -> Any:
        """Writes keys and values (tokens x heads x size) into their blocks, and attends to all of each sequence."""
        Device.use()
        block_size = k_cache.size(1)
        out = query.new_empty(*query.shape[:-1], self.v_head_size)
        start = 0
        lengths = zip(attn_metadata.q_seqlens.tolist(), attn_metadata.kv_seqlens.tolist(), strict=True)
        for row, (new, all_of_it) in enumerate(lengths):
            blocks = attn_metadata.block_offsets[row, : -(-all_of_it // block_size)].long()
            places = torch.arange(all_of_it)
            block, offset = blocks[places // block_size], places % block_size
            if key is not None:  # caches are strided views: to flatten one would copy it
                k_cache[block[-new:], offset[-new:]] = key[start : start + new]
                v_cache[block[-new:], offset[-new:]] = value[start : start + new]
            q, k, v = (
                x.transpose(0, 1) for x in (query[start : start + new], k_cache[block, offset], v_cache[block, offset])
            )
            mask = places[None, :] <= places[-new:][:, None] if self.causal else None
            attended = attend(q[None], k[None], v[None], attn_mask=mask, scale=self.scale, enable_gqa=len(q) != len(k))
            out[start : start + new] = attended[0].transpose(0, 1)
            start += new
        return out


class _VisionAttention(FlashAttentionImpl):  # type: ignore[misc]
    """Not paged, sequences of different lengths behind each other."""

    def __init__(self, spec: Any) -> None:
        self.scale, self.causal = spec.scale, spec.causal

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        q_start_loc: Any,
        q_seqlens: Any,
        kv_start_loc: Any,
        kv_seqlens: Any,
        *_: Any,
        **__: Any,
    ) -> Any:
        shape = query.shape
        query, key, value = (x.reshape(-1, *x.shape[-2:]) for x in (query, key, value))
        out = query.new_empty(*query.shape[:-1], value.size(-1))
        columns = (each.tolist() for each in (q_start_loc, q_seqlens, kv_start_loc, kv_seqlens))
        for q_at, q_len, kv_at, kv_len in zip(*columns, strict=False):
            q, k, v = query[q_at : q_at + q_len], key[kv_at : kv_at + kv_len], value[kv_at : kv_at + kv_len]
            q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
            attended = attend(q, k, v, is_causal=self.causal, scale=self.scale, enable_gqa=q.size(1) != k.size(1))
            out[q_at : q_at + q_len] = attended[0].transpose(0, 1)
        return out.reshape(*shape[:-1], value.size(-1))


class _LoRA(LoRAImpl):  # type: ignore[misc]
    def forward(  # its callers name the arguments
        self,
        x: Any,
        lora_A: Any,  # noqa: N803
        lora_B: Any,  # noqa: N803
        base_output: Any,
        adapter_info: Any,
        ctx_mgr: Any,
        **_: Any,
    ) -> Any:
        context = ctx_mgr.current_context()
        target = base_output[..., adapter_info.base_slice]
        flat, out = x.flatten(0, -2), target.flatten(0, -2).clone()
        start = 0
        for new, adapter in zip(context.q_seqlens.tolist(), context.local_adapter_ids.tolist(), strict=False):
            if rank := int(adapter_info.ranks[adapter]):
                at = int(adapter_info.rank_offsets[adapter])
                added = (flat[start : start + new] @ lora_A[at : at + rank].T) @ lora_B[at : at + rank]
                out[start : start + new] += added * adapter_info.scalings[adapter].to(added.dtype)
            start += new
        base_output[..., adapter_info.base_slice] = out.reshape(target.shape)
        return base_output


class _Draw(MultinomialSamplingImpl):  # type: ignore[misc]
    """Draws each row from its seed and place alone, as LMDeploy's kernel does; its plain one ignores both."""

    def forward(self, scores: Any, seeds: Any, offsets: Any, indices: Any = None) -> Any:
        noise = torch.empty_like(scores)
        for row, seed, offset in zip(noise, seeds.tolist(), offsets.tolist(), strict=True):
            row.exponential_(generator=torch.Generator().manual_seed(seed * 1_000_003 + offset))
        return indices.gather(1, (scores / noise).argmax(1, keepdim=True)).view(-1)


class PlainOpsBackend(DefaultOpsBackend):  # type: ignore[misc]
    """Builds them."""

    @staticmethod
    def get_name() -> str:
        return "cpu"

    @classmethod
    def build_op(cls, spec: Any, **options: Any) -> Any:
        if isinstance(spec, PagedAttentionBuildSpec):
            names = ("num_heads", "scale", "num_kv_heads", "alibi", "sliding_window", "logit_softcapping", "causal")
            sizes = {"head_size": spec.head_dim, "v_head_size": spec.v_head_dim}
            return _PagedAttention(**sizes, **{name: getattr(spec, name) for name in names})
        if isinstance(spec, FlashAttentionBuildSpec):
            return _VisionAttention(spec)
        if isinstance(spec, LoRABuildSpec):
            return _LoRA()
        return _Draw() if isinstance(spec, MultinomialSamplingBuildSpec) else super().build_op(spec, **options)

    @staticmethod
    def get_attention_metadata_cls() -> Any:
        return AttentionMetadata

    @classmethod
    def update_step_context(cls, context: Any) -> Any:
        names = ("q_start_loc", "q_seqlens", "kv_seqlens")
        lengths = {name: getattr(context, name) for name in names}
        context.attn_metadata = AttentionMetadata(context.is_decoding, context.block_offsets, **lengths)
        return context

    @staticmethod
    def ccl_backend() -> str:
        return "gloo"

    @staticmethod
    def device_count() -> int:
        return 1
