"""A run on the screen: how far it is, returns as a row of bars, Q, losses, the last evaluation, and what is wrong."""

import math
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.text import Text

from sb3_ddpg_custom.cli.results.names import plain
from sb3_ddpg_custom.cli.status import Status
from sb3_ddpg_custom.cli.watching.duration import duration

_BARS = "▁▂▃▄▅▆▇█"
_NAMES = 10
_BAR_COLUMNS = 24


def panel(status: Status, *, width: int) -> RenderableType:
    """Draw a run's status in five lines, and more where something is wrong.

    :param status: of the run
    :param width: columns of the terminal
    """
    lines = [_progress(status, width), _returns(status, width)]
    lines += [_line("evaluated", _evaluated(status)), _line("Q", _q(status)), _line("film", plain(status.film or "–"))]  # noqa: RUF001
    if status.warning is not None:
        seen, _, advice = plain(status.warning, most=500).partition("; try ")
        lines += [_line("doctor", seen, "magenta"), *([_line("", f"try {advice}", "magenta")] if advice else [])]
    if status.reason is not None:
        lines.append(_line(status.state, plain(status.reason, most=500), "red"))
    for line in lines:
        line.truncate(max(width - 1, 20), overflow="ellipsis")
    return Group(*lines)


def bars(values: Sequence[float | None]) -> str:
    """Draw numbers as bars between the least and the largest of them; a gap within shows the number before it.

    >>> bars([None, 0.0, None, 1.0, 0.5, float("nan")])
    ' ▁▁█▅ '

    :param values: numbers
    """
    known = [value is not None and math.isfinite(value) for value in values]
    numbers = [value for value, is_known in zip(values, known, strict=True) if is_known and value is not None]
    low, high = min(numbers, default=0.0), max(numbers, default=0.0)
    steps = len(_BARS) - 1
    drawn = []
    passed = 0
    for is_known in known:
        passed += is_known
        if passed == 0 or (passed == len(numbers) and not is_known):
            drawn.append(" ")
        else:
            share = (numbers[passed - 1] - low) / (high - low) if high > low else 0.0
            drawn.append(_BARS[round(share * steps)])
    return "".join(drawn)


def figure(value: float | None) -> str:
    """Write a return, or a value of Q; nothing where there is none.

    >>> figure(3117.94), figure(-146.02), figure(None)
    ('3,118', '-146.0', '')

    :param value: any
    """
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}"


def _progress(status: Status, width: int) -> Text:
    share = min(status.step / status.total_steps, 1.0) if status.total_steps else 0.0
    columns = max(min(_BAR_COLUMNS, width - 60), 8)
    done = round(share * columns)
    rate = "" if status.steps_per_second is None else f"  {status.steps_per_second:,.0f} steps/s"
    left = (
        "" if status.seconds_left is None or status.state != "training" else f"  {duration(status.seconds_left)} left"
    )
    line = Text(f"{_named('steps')}{status.step:,} of {status.total_steps:,}  ")
    line.append("━" * done, style="green").append("━" * (columns - done), style="dim")
    return line.append(f" {100 * share:.0f} %{rate}{left}")


def _returns(status: Status, width: int) -> Text:
    last = figure(status.last_return) or "–"  # noqa: RUF001
    drawn = bars(status.returns[: max(width - _NAMES - cell_len(last) - 4, 8)])
    return Text(_named("return")).append(drawn, style="cyan").append(f"  {last}")


def _evaluated(status: Status) -> str:
    if status.evaluation is None:
        return "–"  # noqa: RUF001
    at = "" if status.evaluated_at is None else f" at step {status.evaluated_at:,}"
    best = "" if status.best_evaluation is None else f", best {figure(status.best_evaluation)}"
    return f"{figure(status.evaluation)}{at}{best}"


def _q(status: Status) -> str:
    if status.q_mean is None:
        return "–"  # noqa: RUF001
    losses = [
        f"{name} {value:.3g}"
        for name, value in (("Q", status.critic_loss), ("μ", status.actor_loss))
        if value is not None
    ]
    realised = "" if status.q_realised is None else f", realised {figure(status.q_realised)}"
    return f"{figure(status.q_mean)}{realised}   losses {'  '.join(losses)}"


def _line(name: str, text: str, style: str = "") -> Text:
    return Text(_named(name)).append(text, style=style)


def _named(name: str) -> str:
    return f"{name:<{_NAMES}}"
