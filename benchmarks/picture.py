"""The table's ratios as bars. Drawn with Pillow: torchmetrics imports Matplotlib where it is installed."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from catalog import Contender
from jobs import JOBS
from report import Figure

WIDTH, SCALE = 880, 2  # points; pixels per point
LEFT, RIGHT = 300, 70
BAR, GAP, HEAD = 20, 7, 44
INK, PALE, BARS, OWN = "#24292f", "#8c959f", "#afb8c1", "#d1571a"


def draw(found: Mapping[tuple[str, str], Figure], contenders: Iterable[Contender], path: Path) -> None:
    """Draw a panel per job that is measured as a ratio, and a bar per contender."""
    contenders = list(contenders)
    jobs = [name for name, job in JOBS.items() if job.unit == "ratio" and (name, "raw") in found]
    panels = [(name, [one for one in contenders if (name, one.name) in found]) for name in jobs]
    height = sum(HEAD + len(rows) * (BAR + GAP) for _, rows in panels) + 40
    image = Image.new("RGB", (WIDTH * SCALE, height * SCALE), "white")
    pen = ImageDraw.Draw(image)
    top = 8.0
    widest = max([figure.high for (name, _), figure in found.items() if name in jobs], default=1.0)
    unit = (WIDTH - LEFT - RIGHT) / widest
    for name, rows in panels:
        write(pen, 12, top + HEAD / 2, JOBS[name].title, 16, INK, "lm")
        top += HEAD
        for one in rows:
            figure = found[name, one.name]
            middle = top + BAR / 2
            write(pen, LEFT - 10, middle, one.title, 14, INK, "rm")
            bar(pen, LEFT, top, figure.middle * unit, OWN if one.name == "project" else BARS)
            line(pen, LEFT + figure.low * unit, LEFT + figure.high * unit, middle)
            write(pen, LEFT + max(figure.middle, figure.high) * unit + 8, middle, f"{figure.middle:.2f}", 14, INK, "lm")
            top += BAR + GAP
    write(pen, 12, top + 20, "Samples per CPU second, relative to the raw loop; the line is the range.", 12, PALE, "lm")
    image.save(path, optimize=True)


def write(pen: ImageDraw.ImageDraw, x: float, y: float, text: str, size: int, color: str, anchor: str) -> None:
    """Write a line of text."""
    font = ImageFont.load_default(size * SCALE)
    pen.text((x * SCALE, y * SCALE), text, fill=color, font=font, anchor=anchor)


def bar(pen: ImageDraw.ImageDraw, x: float, y: float, length: float, color: str) -> None:
    """Draw a bar from `x` to the right."""
    pen.rectangle((x * SCALE, y * SCALE, (x + length) * SCALE, (y + BAR) * SCALE), fill=color)


def line(pen: ImageDraw.ImageDraw, start: float, end: float, y: float) -> None:
    """Draw a thin horizontal line."""
    pen.line((start * SCALE, y * SCALE, end * SCALE, y * SCALE), fill=INK, width=SCALE)
