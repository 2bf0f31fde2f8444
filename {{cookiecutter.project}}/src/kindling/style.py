"""Paper and colors of all pictures, for which nothing has to wait for torch. Matplotlib takes most of a second."""

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from .errors import visible
from .files import new_file
from .startup import quiet

# Colors that the color-blind can tell apart (Okabe and Ito, and a brown), in the order in which lines get them.
BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW, BROWN, BLACK = COLORS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8C6D31", "#000000"),
)
GRAY, PALE = "#666666", "#b8b8b8"
# Lines differ in their dashes, too.
LINES = tuple(zip(COLORS, ("-", "--", "-.", ":", "-", "--", "-.", ":"), strict=True))
STYLE: Any = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9,
    "axes.unicode_minus": False,
    "font.size": 8,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "pdf.fonttype": 42,  # letters stay letters; publishers refuse Matplotlib's own kind of font
    "svg.hashsalt": "kindling",  # so that the same picture is the same file
    "text.parse_math": False,  # a class may be called $5
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}

# By the end of a file's name: the module of Matplotlib that draws it, and the class of its canvas.
CANVASES = {".png": ("agg", "Agg"), ".svg": ("svg", "SVG"), ".pdf": ("pdf", "Pdf")}

quiet("matplotlib")


@contextmanager
def figure_at(
    path: Path,
    size: tuple[float, float],
    layout: Any = "constrained",
    description: str | None = None,
) -> Iterator[Figure]:
    """Give a figure of so many inches to draw on, which then is the file at `path`: PNG, SVG or PDF, by its name.

    Args:
        path: The file.
        size: Width and height.
        layout: As of Matplotlib's `Figure`.
        description: What the file says about itself, for programs.
    """
    suffix = path.suffix.lower()
    module, kind = CANVASES[suffix]
    canvases = importlib.import_module(f"matplotlib.backends.backend_{module}")
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the font lacks a letter, which is drawn as a box
        figure = Figure(figsize=size, dpi=100, layout=layout)
        canvas: Any = getattr(canvases, f"FigureCanvas{kind}")(figure)
        yield figure
        with new_file(path) as new:
            # Not `savefig`, which draws all twice. Without a date the same picture is the same file.
            if suffix == ".png":
                canvas.print_png(new, metadata={"Description": description} if description else None)
            elif suffix == ".svg":
                canvas.print_svg(new, metadata={"Description": visible(description or ""), "Date": None})
            else:
                canvas.print_pdf(new, metadata={"Subject": description, "CreationDate": None})


def cut(text: str, length: int) -> str:
    """Return the text, or its beginning if it is longer."""
    return text if len(text) <= length else f"{text[: length - 3]}..."
