"""Picture files -> pictures, and back: limits before anything is decoded, rotation, formats."""

import io
import warnings

from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from gpt_server.services.common.errors import InvalidMedia
from gpt_server.services.image.engine import ImageFormat, Picture

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""What is read. Pillow knows more, some by programs that it calls."""


def read(content: bytes, path: str, max_pixels: int) -> Picture:
    """Returns the picture of a file, turned as it asks to be (EXIF).

    Args:
        content: the file.
        path: the field it came in, for errors.
        max_pixels: held against the size that the file's head says, before its pixels are decoded.

    Raises:
        InvalidMedia: not a picture, damaged, or too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)  # our own limit is stricter
            with Pillow.open(io.BytesIO(content), formats=FORMATS) as opened:
                pixels = opened.width * opened.height
                if pixels > max_pixels:
                    message = f"has {opened.width} × {opened.height} = {pixels} pixels; at most {max_pixels} are read"
                    raise InvalidMedia(path, message)
                turned = ImageOps.exif_transpose(opened)
                turned.load()
                return turned
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Pillow.DecompressionBombError) as error:
        raise InvalidMedia(path, f"not a picture that can be decoded: {error}") from None


def opaque(picture: Picture) -> Picture:
    """Returns it as RGB; what is transparent shows white."""
    if not _has_alpha(picture):
        return picture.convert("RGB")
    layered = picture.convert("RGBA")
    ground = Pillow.new("RGBA", layered.size, "white")
    return Pillow.alpha_composite(ground, layered).convert("RGB")


def mask_of(picture: Picture) -> Picture:
    """Returns a mask as "L", 255 where the image may change: where it is transparent, else where it is white."""
    if _has_alpha(picture):
        return ImageOps.invert(picture.convert("RGBA").getchannel("A"))
    return picture.convert("L")


def write(picture: Picture, kind: ImageFormat, quality: int) -> bytes:
    """Returns a picture as a file; `quality` is for the formats that lose something."""
    buffer = io.BytesIO()
    if kind == "png":
        picture.save(buffer, "PNG")
    elif kind == "webp":
        picture.save(buffer, "WEBP", quality=quality)
    else:
        picture.convert("RGB").save(buffer, "JPEG", quality=max(1, quality))
    return buffer.getvalue()


def _has_alpha(picture: Picture) -> bool:
    return "A" in picture.getbands() or "transparency" in picture.info
