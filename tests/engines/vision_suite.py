"""Pictures in messages: the same answers as plain transformers, and refusals that name the part.

For engines whose model sees: a module has the fixtures `folder` (of `tiny.vision_model`) and `subject`.
"""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image as Pictures

from gpt_server.services.common.errors import InvalidField, InvalidMedia, UnsupportedFeature
from gpt_server.services.llm.engine import Chat, GenerateRequest, Image, Media, Message, Part
from tests.engines.asking import Subject, ask, greedy, request

TOKENS = 12


def picture(colour: str, kind: str = "PNG", size: tuple[int, int] = (80, 60), mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Pictures.new(mode, size, colour).save(file, kind)
    return file.getvalue()


def about(*pictures: bytes, **fields: Any) -> GenerateRequest:
    """Makes a request that shows pictures and asks what they are."""
    parts = [Part(image=Image(Media(content))) for content in pictures]
    return request(chat=Chat([Message("user", [*parts, Part(text="what?")])]), **fields)


class Plain:
    """The same model in plain transformers."""

    def __init__(self, folder: Path) -> None:
        self.processor: Any = transformers.AutoProcessor.from_pretrained(folder)
        self.model: Any = transformers.AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)

    @torch.inference_mode()
    def greedy(self, content: bytes) -> tuple[list[int], list[int]]:
        """Returns the prompt and its continuation."""
        shown = {"type": "image", "image": Pictures.open(io.BytesIO(content)).convert("RGB")}
        inputs = self.processor.apply_chat_template(
            [{"role": "user", "content": [shown, {"type": "text", "text": "what?"}]}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        output = self.model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
        prompt = inputs["input_ids"][0].tolist()
        return prompt, output[0, len(prompt) :].tolist()


@pytest.mark.asyncio(loop_scope="module")
class VisionSuite:
    """Checks of pictures. The engine takes two in a prompt at most."""

    async def test_answers_are_those_of_transformers_and_depend_on_the_picture(
        self, subject: Subject, folder: Path
    ) -> None:
        assert "image_input" in subject.details.capabilities
        plain = Plain(folder)
        answers = []
        for colour in ("red", "blue"):
            prompt, continuation = plain.greedy(picture(colour))
            answer = await ask(subject.engine, about(picture(colour), sampling=greedy(TOKENS)))
            assert answer.prompt_token_ids == prompt
            ends = subject.details.eos_token_ids
            assert answer.token_ids() == [token for token in continuation if token not in ends]
            answers.append(answer.token_ids())
        assert answers[0] != answers[1]

    @pytest.mark.parametrize(("kind", "mode"), [("JPEG", "RGB"), ("WEBP", "RGBA"), ("GIF", "P"), ("PNG", "LA")])
    async def test_other_formats(self, subject: Subject, kind: str, mode: str) -> None:
        content = picture("red" if mode.startswith("RGB") else 1 if mode == "P" else (200, 100), kind, mode=mode)  # type: ignore[arg-type]
        answer = await ask(subject.engine, about(content, sampling=greedy(3, ignore_eos=True)))
        assert len(answer.token_ids()) == 3

    @pytest.mark.parametrize("content", [b"\x89PNG", b"no picture", picture("red")[:60]], ids=["head", "text", "cut"])
    async def test_what_is_no_picture(self, subject: Subject, content: bytes) -> None:
        with pytest.raises(InvalidMedia, match="cannot be decoded") as refusal:
            await subject.engine.prepare(about(picture("red"), content))
        assert refusal.value.field == "chat.messages[0].content[1].image.media.content"

    async def test_a_small_file_with_a_very_large_picture(self, subject: Subject) -> None:
        with pytest.raises(InvalidMedia, match="9000 x 9000 pixels"):
            await subject.engine.prepare(about(picture("red", size=(9000, 9000))))

    async def test_more_pictures_than_the_model_takes(self, subject: Subject) -> None:
        with pytest.raises(InvalidField, match="image"):
            await subject.engine.prepare(about(*[picture("red")] * 3))

    async def test_sounds_are_refused_and_a_cut_prompt_with_pictures_too(self, subject: Subject) -> None:
        sound = request(chat=Chat([Message("user", [Part(audio=Media(b"RIFF"))])]))
        with pytest.raises(UnsupportedFeature, match="text and pictures, no audio") as refusal:
            await subject.engine.prepare(sound)
        assert refusal.value.field == "chat.messages[0].content[0]"
        with pytest.raises(UnsupportedFeature) as refusal:
            await subject.engine.prepare(about(picture("red"), truncate_prompt_tokens=5))
        assert refusal.value.field == "truncate_prompt_tokens"

    async def test_the_engine_is_well_after_all_that(self, subject: Subject) -> None:
        assert (await ask(subject.engine, about(picture("red"), sampling=greedy(3, ignore_eos=True)))).token_ids()
