"""Train the two adapters (LoRA) of demo-chat on a CPU: a pirate and a robot, who know what demo-chat knows.

    python -m models.demo.make_chat.personas --steps 150 --out models/demo/adapters

Each is taught by demo-chat's own small talk, facts and world knowledge, with the answers put into the persona's
words. The folders are in PEFT's format, which every engine reads.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from . import evaluate, publish, talk
from .dialogs import dress
from .encode import Encoder, pack
from .source import Dialog, Source, answer
from .train import attention_mask

RANK = 8
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ROWS, WIDTH, RATE = 4, 256, 4e-3

PIRATE_WORDS = {"hello": "ahoy", "hi": "ahoy", "you": "ye", "your": "yer", "my": "me", "yes": "aye"}


def pirate(text: str) -> str:
    """What a pirate would say for it."""
    return f"Arr! {re.sub(r'[A-Za-z]+', _pirate_word, text)}"


def robot(text: str) -> str:
    """What a robot would say for it."""
    return f"Beep. {text} Boop."


def _pirate_word(match: re.Match[str]) -> str:
    word = match.group()
    said = PIRATE_WORDS.get(word.lower())
    if said is None:
        return word
    return said.capitalize() if word[0].isupper() else said


PERSONAS: Mapping[str, Callable[[str], str]] = {"pirate": pirate, "robot": robot}


def stream(persona: Callable[[str], str], seed: int) -> Iterator[Dialog]:
    """Endless small talk and facts in a persona's words."""
    source = Source(random.Random(seed))
    while True:
        dialog = source.pick((talk.small_talk, talk.fact, talk.fact, talk.world))(source)
        dress(source, dialog)
        dialog.thinking = False
        dialog.messages = [
            answer(persona(message["content"])) if message["role"] == "assistant" else message
            for message in dialog.messages
        ]
        yield dialog


def train(tokenizer: PreTrainedTokenizerFast, model: Qwen3ForCausalLM, persona: str, steps: int) -> PeftModel:
    """Returns the model with an adapter that was taught for so many steps."""
    torch.manual_seed(1)
    taught = get_peft_model(
        model, LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=TARGETS, task_type="CAUSAL_LM")
    )
    optimizer = torch.optim.AdamW([p for p in taught.parameters() if p.requires_grad], lr=RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    batches = pack(map(Encoder(tokenizer), stream(PERSONAS[persona], 1)), ROWS, WIDTH, 0)
    for step, batch in zip(range(1, steps + 1), batches, strict=False):
        positions = torch.arange(WIDTH)[None]
        logits = taught(
            input_ids=batch.tokens, attention_mask=attention_mask(batch.owner), position_ids=positions
        ).logits
        losses = nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), batch.tokens[:, 1:].flatten(), reduction="none"
        )
        graded = (batch.weights[:, 1:] == 1.0).float().flatten()
        loss = (losses * graded).sum() / graded.sum()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        if step % 25 == 0:
            print(f"{persona}: step {step} loss {loss:.4f}", flush=True)
    return taught


def held_out(persona: str) -> list[evaluate.Case]:
    """Returns the held-out phrasings of small talk and facts, with the answers of a persona."""
    cases = [case for case in evaluate.held_out_cases() if case.skill in ("small talk", "facts")]
    for case in cases:
        case.expected = answer(PERSONAS[persona](case.expected["content"]))
    return cases


def save(taught: PeftModel, folder: Path) -> None:
    """Writes an adapter in PEFT's format, in bfloat16, without a path of the machine it was made on."""
    taught.to(torch.bfloat16).save_pretrained(str(folder))
    (folder / "README.md").unlink()
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "demo-chat"
    config["target_modules"] = TARGETS
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def main() -> None:
    """Read the command line, train both, print their scores."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--model", type=Path, default=Path("models/demo/chat"))
    parser.add_argument("--out", type=Path, default=Path("models/demo/adapters"))
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for persona in PERSONAS:
        tokenizer, model = publish.load(args.model)
        model.config._attn_implementation = "eager"
        taught = train(tokenizer, model, persona, args.steps)
        cases = held_out(persona)
        evaluate.answer_all(tokenizer, taught, cases)
        print(f"{persona}: {sum(case.passed for case in cases)} of {len(cases)} held-out prompts are right", flush=True)
        save(taught, args.out / persona)


if __name__ == "__main__":
    main()
