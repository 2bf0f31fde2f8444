"""Whether a difference is larger than chance: a paired test over the seeds or folds that two rows share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

LEVEL = 0.05
MOST_FLIPPED = 20  # pairs, whose signs can be flipped in a million ways

Repeat = tuple[Any, Any, Any]  # seed, number of folds, fold


@dataclass
class Difference:
    """How far one row is from another, over what they share.

    Args:
        pairs: Number of seeds, or of folds, that both have.
        folds: Whether the pairs are folds.
        mean: Mean of the differences.
        low: Lower end of its 95% confidence interval; not corrected for several comparisons.
        high: Upper end.
        p: Probability of a mean at least as far from 0 if only chance were at work, by a t-test.
        p_flipped: The same by flipping signs, all ways of it; not for folds, whose differences are not independent.
        p_corrected: `p`, corrected for several comparisons.
    """

    pairs: int
    folds: bool = False
    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    p_flipped: float = math.nan
    p_corrected: float = math.nan

    @property
    def verdict(self) -> str:
        if self.pairs < 2:
            return "too few pairs to tell"
        if math.isnan(self.p):
            return "nothing to tell it by: all pairs differ alike"
        return "larger than chance" if self.p_corrected < LEVEL else "may be chance"


def difference(first: dict[Repeat, float], second: dict[Repeat, float]) -> Difference:
    """Test the mean difference between two rows' values, by what they share.

    Over seeds it is the paired t-test. Folds share most of their training samples, so their differences are correlated
    and the t-test finds too much; the corrected resampled t-test of Nadeau and Bengio (2003) widens the variance by
    n_test / n_train, here 1 / (folds - 1). Several seeds of one fold count as one pair, their mean.
    """
    differences, num_folds = _paired(first, second)
    pairs = len(differences)
    if pairs < 2:
        return Difference(pairs, num_folds is not None, *differences)
    # Not scipy.stats, which takes over a second to import.
    from scipy.special import stdtr, stdtrit

    mean, spread = fmean(differences), stdev(differences)
    if spread <= 1e-12 * abs(mean) or spread == 0:
        same = mean == 0  # rows that are equal in every pair do not differ
        return Difference(pairs, num_folds is not None, mean, p=1.0 if same else math.nan)
    error = spread * math.sqrt(1 / pairs + (1 / (num_folds - 1) if num_folds else 0))
    margin = float(stdtrit(pairs - 1, 1 - LEVEL / 2)) * error
    p = 2 * float(stdtr(pairs - 1, -abs(mean) / error))
    flipped = math.nan if num_folds or pairs > MOST_FLIPPED else _flip(differences)
    return Difference(pairs, num_folds is not None, mean, mean - margin, mean + margin, p, flipped)


def correct(differences: Sequence[Difference], comparisons: int) -> None:
    """Fill in `p_corrected` by Holm's method.

    The best row is picked by the numbers that it is tested on, so the comparisons that count are not those with it
    but those of all rows with each other: with them, one in twenty tables of equal rows shows a difference at most. If
    only those with the best counted, it were one in nine tables of eight rows, and one in three of sixty.

    Args:
        differences: Between the best row and each other.
        comparisons: How many there are between any two rows.
    """
    largest = 0.0
    tested = sorted((found for found in differences if not math.isnan(found.p)), key=lambda found: found.p)
    for rank, found in enumerate(tested):
        largest = max(largest, min(1.0, (comparisons - rank) * found.p))
        found.p_corrected = largest


def _paired(first: dict[Repeat, float], second: dict[Repeat, float]) -> tuple[list[float], int | None]:
    """Return the differences, one for each seed or one for each fold, and the number of folds, if any."""
    by_pair: dict[Any, list[float]] = {}
    num_folds = None
    for repeat in first.keys() & second.keys():
        seed, folds, fold = repeat
        num_folds = folds or num_folds
        by_pair.setdefault(fold if folds else seed, []).append(first[repeat] - second[repeat])
    return [fmean(by_pair[pair]) for pair in sorted(by_pair, key=str)], num_folds


def _flip(differences: list[float]) -> float:
    """Return the share of all ways to flip signs that bring the mean at least as far from 0."""
    import numpy as np

    sums = np.zeros(1)
    for value in differences:
        sums = np.concatenate([sums + value, sums - value])
    return float(np.mean(np.abs(sums) >= abs(sum(differences)) * (1 - 1e-9)))
