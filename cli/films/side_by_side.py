"""Several films as one: side by side, or in rows, each with a line above it, as MP4 or GIF."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_ddpg_custom.cli.films.gif_file import write_gif
from sb3_ddpg_custom.wrappers.video_file import VideoFile

Frame = NDArray[np.uint8]

_CAPTION = 30  # pixels above each film
_MOST_WIDE = 1600  # of all together
_MOST_WIDE_GIF = 880
_GAP = 6
_MOST_GIF_FRAMES = 240
_DIMMED = 0.45  # a film that is over, while others go on


def side_by_side(films: Sequence[Path], captions: Sequence[str], out: Path, *, columns: int | None = None) -> None:
    """Show films side by side, frame by frame; one that is over keeps its last picture, dimmed.

    :param films: MP4 files
    :param captions: a line for each
    :param out: ``.mp4`` or ``.gif``; replaced whole or not at all
    :param columns: films in a row; None for all
    :raises OSError: if it cannot be written
    """
    rate, number = _rate_and_length(films)
    width = columns or len(films)
    if out.suffix.lower() == ".gif":
        every = max(1, -(-number // _MOST_GIF_FRAMES), round(rate / 30))
        write_gif(lambda: _composed(films, captions, width, _MOST_WIDE_GIF, every), out, float(rate / every))
        return
    file = VideoFile(out.parent, f"{out.stem}.part", fps=rate)
    path = None
    try:
        for frame in _composed(films, captions, width, _MOST_WIDE, 1):
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


def _composed(
    films: Sequence[Path], captions: Sequence[str], columns: int, most_wide: int, every: int
) -> Iterator[Frame]:
    """Put the films' pictures together, one at a time."""
    sources = [_frames(film, every) for film in films]
    last = [next(source) for source in sources]
    going = [True] * len(films)
    wide = (most_wide - _GAP * (columns - 1)) // columns
    while any(going):
        drawn = [
            _drawn(frame, caption, wide, is_over=not on)
            for frame, caption, on in zip(last, captions, going, strict=True)
        ]
        yield _in_rows(drawn, columns)
        for place, source in enumerate(sources):
            frame = next(source, None) if going[place] else None
            going[place] = frame is not None
            last[place] = last[place] if frame is None else frame


def _in_rows(pictures: Sequence[Frame], columns: int) -> Frame:
    """Lay pictures out on white, in cells as large as the largest."""
    tall, wide = max(len(one) for one in pictures), max(one.shape[1] for one in pictures)
    rows = -(-len(pictures) // columns)
    page = np.full((rows * (tall + _GAP) - _GAP, columns * (wide + _GAP) - _GAP, 3), 255, np.uint8)
    for place, picture in enumerate(pictures):
        row, column = divmod(place, columns)
        top, left = row * (tall + _GAP), column * (wide + _GAP)
        page[top : top + len(picture), left : left + picture.shape[1]] = picture
    return page


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
