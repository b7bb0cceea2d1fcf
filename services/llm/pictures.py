"""Pictures in messages, decoded for a model's own processor."""

import io

from PIL import Image as Pictures
from PIL import ImageOps

from gpt_server.services.common.errors import InvalidField, InvalidMedia
from gpt_server.services.llm.engine import Chat, Image

#: A picture of more is refused before it is decoded: a small file can hold a very large one.
MAX_PIXELS = 64 * 1024 * 1024


def of_chat(chat: Chat, most: int | None = None) -> list[Pictures.Image]:
    """Returns the pictures of a conversation in their order, decoded.

    Raises:
        InvalidField: there are more than `most`.
        InvalidMedia: as `decode`.
    """
    shown = {
        f"chat.messages[{i}].content[{at}].image.media.content": part.image
        for i, turn in enumerate(chat.messages)
        for at, part in enumerate(turn.content)
        if part.image is not None
    }
    if most is not None and len(shown) > most:
        raise InvalidField("chat.messages", f"has {len(shown)} images; at most {most} are allowed")
    return [decode(image, path) for path, image in shown.items()]


def decode(image: Image, path: str) -> Pictures.Image:
    """Decodes a picture, upright and in RGB, what is transparent in white: as vLLM's own loader does.

    Args:
        image: the encoded picture.
        path: its field, for errors.

    Raises:
        InvalidMedia: it cannot be decoded, or has more pixels than `MAX_PIXELS`.
    """
    try:
        with Pictures.open(io.BytesIO(image.media.content)) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                size = f"{opened.width} x {opened.height} pixels"
                raise InvalidMedia(path, f"the picture has {size}; at most {MAX_PIXELS} are allowed")
            upright = ImageOps.exif_transpose(opened)
            if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
                upright = upright.convert("RGBA")
                white = Pictures.new("RGBA", upright.size, "white")
                upright = Pictures.alpha_composite(white, upright)
            return upright.convert("RGB")
    except (OSError, ValueError, SyntaxError, Pictures.DecompressionBombError) as error:
        raise InvalidMedia(path, f"the picture cannot be decoded: {error}") from error
