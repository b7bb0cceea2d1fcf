"""SGLang's scheduler process, with what the API promises of log-probabilities, options that look back, and adapters."""

from collections.abc import Callable
from typing import Any

from sglang.srt.managers.scheduler import run_scheduler_process
from sglang.srt.plugins.hook_registry import HookRegistry, HookType


def run(*arguments: Any, **options: Any) -> None:
    """Runs a scheduler. The target of its process."""
    HookRegistry.register(
        "sglang.srt.model_executor.model_runner.ModelRunner.sample", _with_raw_logprobs, HookType.AROUND
    )
    HookRegistry.register(
        "sglang.srt.model_executor.forward_batch_info.ForwardBatch.init_new", _wait_for_last_token, HookType.AFTER
    )
    HookRegistry.register(
        "sglang.srt.lora.lora_manager.LoRAManager.load_lora_adapter", _into_its_place, HookType.AROUND
    )
    run_scheduler_process(*arguments, **options)


def _with_raw_logprobs(sample: Callable[..., Any], runner: Any, logits_output: Any, forward_batch: Any) -> Any:
    """Reports log-probabilities of the model itself; SGLang's come after bias, penalties, forms and temperature."""
    if not forward_batch.return_logprob:
        return sample(runner, logits_output, forward_batch)
    raw = logits_output.next_token_logits.float().log_softmax(-1)
    sampled = sample(runner, logits_output, forward_batch)
    wanted = (forward_batch.top_logprobs_nums, forward_batch.token_ids_logprobs)
    runner.sampler.output_logprob_processor.compute_logprobs(raw, *wanted, sampled).write_output_to(logits_output)
    return sampled


def _wait_for_last_token(forward_batch: Any, *_: Any, **__: Any) -> None:
    """Lets a batch whose logits are shaped wait for the token before, as SGLang lets one with a grammar.

    Else it computes ahead, and `Shaping` would not yet see that token.
    """
    info = forward_batch.sampling_info
    if info is not None and info.has_custom_logit_processor and info.grammars is None:
        info.grammars = []


def _into_its_place(load: Callable[..., Any], adapters: Any, adapter: Any) -> Any:
    """Brings a new adapter to its place beside the model at once.

    SGLang does so in the first request that names it, and ends with that request if the adapter does not fit.
    """
    result = load(adapters, adapter)
    if not result.success:
        return result
    try:
        adapters.fetch_new_loras({adapter.lora_id})
    except Exception as error:  # whatever it is, it would end the scheduler
        adapters.unload_lora_adapter(adapter)
        return adapters.create_lora_update_result(success=False, error_message=f"{type(error).__name__}: {error}")
    return result
