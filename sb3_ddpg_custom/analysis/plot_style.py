"""How figures look: for print, told apart without colours too, readable at half their size."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

# Okabe and Ito 2008, "Color Universal Design", without the yellow, which paper swallows.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_LINES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "h")
_LONGEST_NAME = 44

_SETTINGS: dict[str, Any] = {
    "font.size": 13,
    "axes.titlesize": 13,
    "axes.labelsize": 13,
    "xtick.labelsize": 12,
    "ytick.labelsize": 12,
    "legend.fontsize": 12,
    "lines.linewidth": 2.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.handlelength": 3.2,
    "figure.dpi": 100,
    # TrueType, which journals ask for; Type 3 is matplotlib's default.
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.hashsalt": "sb3-ddpg-custom",
    # Names are names, whatever dollar signs are in them.
    "text.parse_math": False,
    "axes.unicode_minus": True,
}


@dataclass(frozen=True)
class Look:
    """How a setting is drawn.

    :param colour: as ``#rrggbb``
    :param line: matplotlib's line style
    :param marker: matplotlib's marker
    """

    colour: str
    line: str
    marker: str


def look(number: int) -> Look:
    """Choose how a setting is drawn; the first 28 have each a colour and line style of their own.

    :param number: its place among the settings, from 0
    """
    return Look(_COLOURS[number % 7], _LINES[number % 4], _MARKERS[number % 11])


@contextmanager
def styled() -> Iterator[None]:
    """Draw in this style inside of the block."""
    import matplotlib as mpl

    settings: Any = _SETTINGS  # the names that matplotlib knows differ by its version
    with mpl.rc_context(settings), warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        yield


def columns_of(panels: int) -> int:
    """Choose how many panels stand side by side.

    :param panels: how many there are
    """
    return 2 if panels == 4 else min(panels, 3)


def new_figure(panels: int, size: tuple[float, float] | None = None) -> "tuple[Figure, list[Any]]":
    """Open a figure with some panels of one size.

    :param panels: how many
    :param size: of the whole, inches; None chooses by the number of panels
    :return: the figure and its axes, in reading order
    """
    from matplotlib.figure import Figure

    wide = columns_of(panels)
    high = -(-panels // wide)
    if size is None:
        size = (6.4, 4.4) if panels == 1 else (1.0 + 3.7 * wide, 1.0 + 3.0 * high)
    figure = Figure(figsize=size, layout="constrained")
    return figure, [figure.add_subplot(high, wide, number + 1) for number in range(panels)]


def add_legend(figure: "Figure", handles: "Sequence[Artist]", names: Sequence[str]) -> None:
    """Put a legend below the panels, where it hides nothing.

    :param figure: which has them
    :param handles: one per name
    :param names: as they are to be read; long ones are shortened
    """
    texts = [name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…" for name in names]
    longest = max(map(len, texts))
    columns = max(min(len(texts), int(figure.get_figwidth() * 10.5 / (longest + 6))), 1)
    legend = figure.legend(
        list(handles), [f"{number}" for number in range(len(texts))], loc="outside lower center", ncols=columns
    )
    for shown, text in zip(legend.get_texts(), texts, strict=True):
        shown.set_text(text)  # matplotlib leaves out names that begin with an underscore, but not here


def save_figure(figure: "Figure", path: str | Path, *, dpi: int = 200) -> None:
    """Write a figure whole or not at all, its fonts in it.

    :param figure: which :func:`sb3_ddpg_custom.analysis.plots.plot_curves` or another of them has drawn
    :param path: ends in .png, .svg or .pdf
    :param dpi: dots per inch of a PNG
    :raises OSError: if it cannot be written
    """
    from sb3_ddpg_custom.atomic import replacing

    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    # Without the time the same runs give the same bytes.
    facts: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
    with styled(), replacing(path) as file:
        figure.savefig(file, format=kind, dpi=dpi, metadata=facts)
