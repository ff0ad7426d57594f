"""Camera frames, read without trusting them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG")
MAX_PIXELS = 50_000_000
THUMBNAIL_SIZE = 160


def read_grey(path: Path, side: int) -> npt.NDArray[np.uint8]:
    """Return a frame as ``(side, side)`` grey values of 8 bits.

    :raises ValueError: if it is not an image, is damaged, or is too large
    """
    return np.asarray(_read(path).convert("L").resize((side, side), Image.Resampling.BOX))


def read_thumbnail(path: Path) -> Image.Image:
    """Return a frame in colour, of 160 x 160 pixels at most.

    :raises ValueError: as :func:`read_grey`
    """
    image = _read(path).convert("RGB")
    image.thumbnail((THUMBNAIL_SIZE, THUMBNAIL_SIZE))
    return image


def _read(path: Path) -> Image.Image:
    content = io.BytesIO(path.read_bytes())
    try:
        image = Image.open(content, formats=FORMATS)
        _check_size(image)
        image.load()
        upright = ImageOps.exif_transpose(image)
    except Exception as error:  # a tag of EXIF that is not of its type makes Pillow stumble anywhere
        raise ValueError(f"is not a readable image: {_reason(error)}") from None
    if upright.mode.startswith("I"):
        # 16 bits per pixel, which Pillow's own conversion would cut off instead of scaling.
        return Image.fromarray((np.asarray(upright).clip(0, 65535) // 257).astype(np.uint8))
    return upright


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"it has {image.width} x {image.height} pixels; {MAX_PIXELS:,} are the limit")


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it is not a {' or '.join(FORMATS)} file"
    return str(error)
