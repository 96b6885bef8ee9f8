"""GIFs: all pictures share the colours that suit them best, and none but the current one is in memory."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_ddpg_custom.atomic import replacing

Frame = NDArray[np.uint8]

_HUNDREDTH = Fraction(1, 100)  # of a second, in which GIF counts
_PALETTE = "max_colors=128:stats_mode=full"


def write_gif(frames: Callable[[], Iterator[Frame]], out: Path, fps: float) -> None:
    """Write a GIF that repeats itself.

    :param frames: gives the pictures, of one size; it is called twice, the first time to choose the colours
    :param out: replaced whole or not at all
    :param fps: pictures per second, 50 at most: browsers slow down what is quicker
    :raises OSError: if it cannot be written
    """
    import av

    palette = _palette(frames(), fps)
    with replacing(out) as file, av.open(file, "w", format="gif") as container:
        stream: Any = None
        for picture in _in_colours_of(palette, frames(), fps):
            if stream is None:
                stream = container.add_stream("gif", rate=Fraction(fps).limit_denominator(100))
                stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, "pal8"
                stream.codec_context.time_base = _HUNDREDTH
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def _palette(frames: Iterator[Frame], fps: float) -> Any:
    from av.filter import Graph

    graph = Graph()
    source: Any = None
    for picture in _timed(frames, fps):
        if source is None:
            source = _source(graph, picture)
            chosen, sink = graph.add("palettegen", _PALETTE), graph.add("buffersink")
            source.link_to(chosen)
            chosen.link_to(sink)
            graph.configure()
        source.push(picture)
    source.push(None)
    return sink.pull()


def _in_colours_of(palette: Any, frames: Iterator[Frame], fps: float) -> Iterator[Any]:
    from av.error import BlockingIOError as NothingYet
    from av.error import EOFError as NothingMore
    from av.filter import Graph

    graph = Graph()
    source: Any = None
    for picture in _then_none(_timed(frames, fps)):
        if source is None:
            source, colours = _source(graph, picture), _source(graph, palette)
            drawn = graph.add("paletteuse", "dither=none:diff_mode=rectangle")
            sink = graph.add("buffersink")
            source.link_to(drawn, 0, 0)
            colours.link_to(drawn, 0, 1)
            drawn.link_to(sink)
            graph.configure()
            colours.push(palette)
            colours.push(None)
        source.push(picture)
        try:
            while True:
                yield sink.pull()
        except (NothingYet, NothingMore):
            continue


def _timed(frames: Iterator[Frame], fps: float) -> Iterator[Any]:
    import av

    for number, frame in enumerate(frames):
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.pts, picture.time_base = round(100 * number / fps), _HUNDREDTH
        yield picture


def _then_none(pictures: Iterator[Any]) -> Iterator[Any]:
    yield from pictures
    yield None


def _source(graph: Any, like: Any) -> Any:
    import av

    kind = av.VideoFormat(like.format.name)
    return graph.add_buffer(width=like.width, height=like.height, format=kind, time_base=_HUNDREDTH)
