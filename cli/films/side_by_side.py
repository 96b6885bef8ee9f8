"""Several films as one: side by side, each with a line above it, as MP4 or GIF."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_ddpg_custom.atomic import replacing
from sb3_ddpg_custom.wrappers.video_file import VideoFile

Frame = NDArray[np.uint8]

_CAPTION = 30  # pixels above each film
_MOST_WIDE = 1600  # of all together
_MOST_WIDE_GIF = 880
_GAP = 6
_MOST_GIF_FRAMES = 240
_DIMMED = 0.45  # a film that is over, while others go on


def side_by_side(films: Sequence[Path], captions: Sequence[str], out: Path, *, fps: float | None = None) -> None:
    """Show films side by side, frame by frame; one that is over keeps its last picture, dimmed.

    :param films: MP4 files
    :param captions: a line for each
    :param out: ``.mp4`` or ``.gif``; replaced whole or not at all
    :param fps: pictures per second; None for the first film's
    :raises OSError: if it cannot be written
    """
    rate, number = _rate_and_length(films)
    speed = rate if fps is None else Fraction(fps).limit_denominator(1001)
    if out.suffix.lower() == ".gif":
        every = max(1, -(-number // _MOST_GIF_FRAMES), round(speed / 30))
        _write_gif(_composed(films, captions, _MOST_WIDE_GIF, every), out, float(speed / every))
        return
    file = VideoFile(out.parent, f"{out.stem}.part", fps=speed)
    path = None
    try:
        for frame in _composed(films, captions, _MOST_WIDE, 1):
            file.add(frame)
    finally:
        path = file.finish()
    if path is not None:
        path.replace(out)


def _rate_and_length(films: Sequence[Path]) -> tuple[Fraction, int]:
    import av

    rates, lengths = [], []
    for film in films:
        with av.open(str(film)) as container:
            stream = container.streams.video[0]
            rates.append(Fraction(stream.average_rate or 30))
            lengths.append(stream.frames or sum(1 for _ in container.decode(stream)))
    return rates[0], max(lengths)


def _frames(film: Path, every: int) -> Iterator[Frame]:
    import av

    with av.open(str(film)) as container:
        for number, picture in enumerate(container.decode(video=0)):
            if number % every == 0:
                frame: Any = picture.to_ndarray(format="rgb24")
                yield frame


def _composed(films: Sequence[Path], captions: Sequence[str], most_wide: int, every: int) -> Iterator[Frame]:
    """Put the films' pictures together, one at a time."""
    sources = [_frames(film, every) for film in films]
    last = [next(source) for source in sources]
    going = [True] * len(films)
    wide = (most_wide - _GAP * (len(films) - 1)) // len(films)
    while any(going):
        drawn = [
            _drawn(frame, caption, wide, is_over=not on)
            for frame, caption, on in zip(last, captions, going, strict=True)
        ]
        tall = max(len(one) for one in drawn)
        padded = [np.pad(one, ((0, tall - len(one)), (0, 0), (0, 0)), constant_values=255) for one in drawn]
        gap = np.full((tall, _GAP, 3), 255, np.uint8)
        yield np.concatenate([part for one in padded for part in (one, gap)][:-1], axis=1)
        for place, source in enumerate(sources):
            frame = next(source, None) if going[place] else None
            going[place] = frame is not None
            last[place] = last[place] if frame is None else frame


def _drawn(frame: Frame, caption: str, wide: int, *, is_over: bool) -> Frame:
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(frame)
    scale = min(1.0, wide / picture.width)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)
    if is_over:
        picture = Image.blend(Image.new("RGB", picture.size, "white"), picture, _DIMMED)
    canvas = Image.new("RGB", (picture.width, picture.height + _CAPTION), "white")
    canvas.paste(picture, (0, _CAPTION))
    ImageDraw.Draw(canvas).text((6, 5), caption, fill="black", font=ImageFont.load_default(size=16))
    return np.asarray(canvas)


def _write_gif(frames: Iterator[Frame], out: Path, fps: float) -> None:
    from PIL import Image

    pictures = (Image.fromarray(frame).quantize(64, dither=Image.Dither.NONE) for frame in frames)
    first = next(pictures)
    milliseconds = max(round(100 / fps) * 10, 20)  # GIF counts hundredths, and browsers slow down below two
    with replacing(out) as file:
        first.save(file, format="GIF", save_all=True, append_images=pictures, duration=milliseconds, loop=0)
