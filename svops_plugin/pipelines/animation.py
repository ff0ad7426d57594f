"""An animation of evaluated samples."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont, ImageOps

WIDTH, HEIGHT, MARGIN = 360, 440, 16
PICTURE = WIDTH - 2 * MARGIN
BACKGROUND, INK, FAINT = "#14171c", "#e8eaed", "#8b929c"
RIGHT, WRONG = "#4cc38a", "#ff7a66"


class Evaluated(NamedTuple):
    """A sample with its picture, what it is, and what the model took it for."""

    sample: str
    picture: Image.Image
    label: str
    predicted: str


def webp(evaluated: Sequence[Evaluated], frame_ms: int) -> bytes:
    """Return an endless WebP animation that shows each sample, in the given order, for ``frame_ms`` ms.

    Not a GIF: its 256 colours a frame turn camera pictures pale.
    """
    first, *others = _frames(evaluated)
    buffer = io.BytesIO()
    first.save(
        buffer,
        format="WEBP",
        save_all=True,
        append_images=others,
        duration=frame_ms,
        loop=0,
        quality=85,
        method=2,
    )
    return buffer.getvalue()


def _frames(evaluated: Sequence[Evaluated]) -> Iterator[Image.Image]:
    large, small = ImageFont.load_default(26), ImageFont.load_default(14)
    for number, one in enumerate(evaluated, start=1):
        frame = Image.new("RGB", (WIDTH, HEIGHT), BACKGROUND)
        picture = ImageOps.contain(one.picture.convert("RGB"), (PICTURE, PICTURE))
        frame.paste(picture, ((WIDTH - picture.width) // 2, MARGIN + (PICTURE - picture.height) // 2))
        draw = ImageDraw.Draw(frame)
        colour = RIGHT if one.label == one.predicted else WRONG
        half = PICTURE // 2 - MARGIN
        top = MARGIN + PICTURE + 10
        for left, heading, text, ink in (
            (MARGIN, "true", one.label, INK),
            (WIDTH // 2, "predicted", one.predicted, colour),
        ):
            draw.text((left, top), heading, FAINT, small)
            draw.text((left, top + 16), _fitting(text, large, half), ink, large)
        draw.text((MARGIN, top + 54), _fitting(one.sample, small, PICTURE - 70), FAINT, small)
        draw.text((WIDTH - MARGIN, top + 54), f"{number}/{len(evaluated)}", FAINT, small, anchor="ra")
        draw.rectangle((0, HEIGHT - 4, WIDTH * number // len(evaluated), HEIGHT), colour)
        yield frame


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Return the text, cut where it would be wider than so many pixels."""
    line = " ".join(text.split())
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "...") > width:
        line = line[:-1]
    return line + "..."
