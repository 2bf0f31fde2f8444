"""Rows that can't be used, and what is doubtful about a dataset that was made."""

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ..errors import UsageError

log = logging.getLogger(__name__)

BAD_ROWS = ("refuse", "skip")
FEW = 10  # samples of a split, whose metrics are mostly chance
FEW_EACH = 3  # samples of each class, on average


class Faults:
    """Counts the rows that can't be used, so that one line names them all.

    Args:
        bad_rows: One of `BAD_ROWS`.
    """

    def __init__(self, bad_rows: str) -> None:
        self.bad_rows = bad_rows
        self.usable = self.count = 0
        self.first = ""

    @property
    def refuses(self) -> bool:
        """Whether there is a row for which the dataset is refused."""
        return self.count > 0 and self.bad_rows == "refuse"

    def add(self, place: str, problem: str) -> None:
        """Count a row with what is wrong with it."""
        self.first = self.first or f"{place}: {problem}"
        self.count += 1

    def end(self, remedy: str) -> None:
        """Say in one line how many there were.

        Raises:
            UsageError: There were some, and they are not to be skipped.
        """
        more = f" (and {self.count - 1} more of {self.usable + self.count} rows are faulty)" if self.count > 1 else ""
        if self.refuses:
            raise UsageError(f"{self.first}{more}; {remedy}")
        if self.count:
            log.warning("%d of %d rows are left out; %s", self.count, self.usable + self.count, self.first)


def doubts(facts: dict[str, Any]) -> Iterator[str]:
    """Yield what is likely to be a mistake in a dataset with these facts, a line each."""
    for pair, count in facts.get("shared", {}).items():
        yield f"{count} samples are in {pair}; data.splits=hash would keep them apart"
    classes: dict[str, int] = facts["classes"]
    small = [f"{count} sample{'s' * (count != 1)} in {name}" for name, count in facts["splits"].items() if count < FEW]
    if small:
        yield f"only {', '.join(small)}: metrics of so few are mostly chance"
    if classes and facts["num_samples"] < FEW_EACH * len(classes):
        found = f"{len(classes)} classes in {facts['num_samples']} samples"
        yield f"{found}: are these numbers (data.labels=numbers), or names?"
        return
    folded = Counter(name.casefold() for name in classes)
    alike = [name for name in classes if folded[name.casefold()] > 1]
    if alike:
        yield f"the classes {', '.join(map(repr, alike[:4]))} differ in case only"
