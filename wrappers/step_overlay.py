"""What a film shows beside the picture: the step, the return so far, the action and what the critic thinks of it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

_NARROWEST = 240  # pixels; a smaller picture is enlarged
_CELL = 118  # pixels that "return -12345.6" needs
_LINE = 20  # pixels of a line of text, 13 of them high
_MARGIN = 6
_TALL, _FLAT = 16, 4  # pixels of an action's bar: a few with their figures, many without
_MOST_TALL, _MOST_BARS = 6, 24
_PAPER, _INK, _FAINT, _LOW, _HIGH = (250, 250, 250), (25, 25, 25), (205, 205, 205), (201, 96, 32), (38, 104, 176)


@dataclass(frozen=True)
class Moment:
    """What is going on in the picture.

    :param step: of the episode; 0 where it begins
    :param action: that led here; None where it begins
    :param return_so_far: undiscounted sum of the rewards; NaN where they are no numbers
    """

    step: int
    action: Any
    return_so_far: float


class StepOverlay:
    """Draws a band below each picture, for ``VideoMonitor(..., draw_on=StepOverlay(env.action_space))``.

    It says the step and the return so far; each component of an action in a Box is a bar from its lower bound at the
    left to its upper one at the right (the largest seen so far, where it has none). A picture narrower than 240 pixels
    is enlarged.

    :param action_space: the environment's
    :param q_value: gives the critic's value for an action in the state that it was chosen in, None where there is none;
        called for each picture
    """

    def __init__(self, action_space: gym.Space[Any], *, q_value: Callable[[Any], float | None] | None = None) -> None:
        self._q_value = q_value
        self._box = action_space if isinstance(action_space, gym.spaces.Box) else None
        self._bars = 0 if self._box is None else min(int(np.prod(self._box.shape)), _MOST_BARS)
        self._largest = np.full(self._bars, 1e-9)

    def __call__(self, picture: Picture, moment: Moment) -> Picture:
        """Put the band below a picture.

        :param picture: (height, width, 3)
        :param moment: what is going on in it
        :return: a taller picture; all of one film have one size
        """
        from PIL import Image, ImageDraw

        image = Image.fromarray(picture)
        if image.width < _NARROWEST:
            times = -(-_NARROWEST // image.width)
            image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
        cells = self._cells(moment)
        columns = max((image.width - _MARGIN) // _CELL, 1)
        lines = -(-len(cells) // columns)
        bar = _TALL if self._bars <= _MOST_TALL else _FLAT
        top = image.height + _MARGIN // 2 + lines * _LINE
        canvas = Image.new("RGB", (image.width, top + self._bars * bar + _MARGIN), _PAPER)
        canvas.paste(image, (0, 0))
        draw = ImageDraw.Draw(canvas)
        for place, cell in enumerate(cells):
            line, column = divmod(place, columns)
            at = (_MARGIN + column * _CELL, image.height + 2 + line * _LINE)
            draw.text(at, cell, fill=_INK, font=_font())
        if self._box is not None:
            self._draw_bars(draw, self._box, moment, top, bar, canvas.width)
        return np.asarray(canvas)

    def _cells(self, moment: Moment) -> list[str]:
        cells = [f"step {moment.step:,}"]
        if not np.isnan(moment.return_so_far):
            cells.append(f"return {_figure(moment.return_so_far)}")
        if self._box is None and np.ndim(moment.action) == 0:
            cells.append("" if moment.action is None else f"action {moment.action}")
        if self._q_value is not None:
            value = None if moment.action is None else self._q_value(moment.action)
            cells.append("" if value is None else f"Q {_figure(value)}")
        return cells

    def _draw_bars(self, draw: Any, space: gym.spaces.Box, moment: Moment, top: int, tall: int, width: int) -> None:
        values = np.zeros(self._bars)
        if moment.action is not None:
            values = np.nan_to_num(np.ravel(np.asarray(moment.action, np.float64))[: self._bars])
        self._largest = np.maximum(self._largest, np.abs(values))
        low, high = (np.ravel(bound).astype(np.float64)[: self._bars] for bound in (space.low, space.high))
        bounded = np.isfinite(low) & np.isfinite(high)
        low, high = np.where(bounded, low, -self._largest), np.where(bounded, high, self._largest)
        shares = np.clip((values - low) / np.maximum(high - low, 1e-12), 0, 1)
        left, right = _MARGIN, width - _MARGIN - (52 if tall == _TALL else 0)
        middle = (left + right) / 2
        for place, share in enumerate(shares):
            y = top + place * tall
            draw.rectangle((left, y + 1, right, y + tall - 2), fill=_FAINT)
            if moment.action is not None:
                end = left + share * (right - left)
                colour = _HIGH if end >= middle else _LOW
                draw.rectangle((min(middle, end), y + 1, max(middle, end), y + tall - 2), fill=colour)
                if tall == _TALL:
                    draw.text((right + _MARGIN, y - 1), _figure(values[place]), fill=_INK, font=_font())
            draw.line((middle, y + 1, middle, y + tall - 2), fill=_INK)


@cache
def _font() -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size=13)


def _figure(value: float) -> str:
    """Write a number in at most seven characters or so."""
    if not np.isfinite(value):
        return str(value)
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 10_000 else 0
    return f"{value:.{digits}f}" if abs(value) < 1e7 else f"{value:.2g}"
