"""Texts with the long tail of real ones, the same on every machine: their lengths are log-normal."""

import csv
import math
import random
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

CLASSES = ["autumn", "spring", "summer", "winter"]
MEDIAN, SPREAD, LONGEST = 24, 0.74, 253  # in words; a tokenizer adds a first and a last token
TOPICAL = 0.08  # share of the words that tell the class
SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]


def sentences(number: int, seed: int = 0, length: int | None = None) -> Iterator[tuple[str, str]]:
    """Yield (text, class) pairs.

    Args:
        number: How many.
        seed: Of the draws.
        length: Words of each text, instead of the long tail.
    """
    draw = random.Random(seed)
    words = draw.sample([a + b + c for a in SYLLABLES for b in SYLLABLES for c in ["", "n", "s"]], 3000)
    topics = {name: words[100 * number : 100 * number + 100] for number, name in enumerate(CLASSES, start=1)}
    zipf = list(accumulate(1 / (rank + 10) for rank in range(len(words))))
    for _ in range(number):
        name = draw.choice(CLASSES)
        size = length or min(LONGEST, max(1, round(MEDIAN * math.exp(draw.gauss(0, SPREAD)))))
        text = draw.choices(words, cum_weights=zipf, k=size)
        for place in range(size):
            if draw.random() < TOPICAL:
                text[place] = draw.choice(topics[name])
        yield " ".join(text), name


def write_csv(path: Path, number: int, length: int | None = None) -> None:
    """Write sentences with their classes in the columns `text` and `label`."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(sentences(number, length=length))
