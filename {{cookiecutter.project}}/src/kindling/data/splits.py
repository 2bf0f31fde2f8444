"""Which samples train, validate and test: by the hash of what identifies them, or as the data say."""

import hashlib
import itertools

import numpy as np

ROWS_PER_BATCH = 100_000  # of numbers, so that what is computed in between takes no memory to speak of
TEST_SHARE = 0.1
NAMES = ("train", "val", "test")

Splits = dict[str, np.ndarray]


def hash_key(key: bytes) -> int:
    """Return the 64 bits that decide a sample's split, from what identifies it."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")


def split(hashes: np.ndarray, folds: int | None, fold: int) -> Splits:
    """Return the row numbers of the train, val and test split, by the hash of each row alone.

    A row therefore never changes its split when others are added, and rows of one key share one. The test split is a
    tenth of the rows, whatever `folds` is. Without folds another tenth validates; with them a `folds`-th of the rest
    does.
    """
    numbers = row_type(len(hashes))
    found: dict[str, list[np.ndarray]] = {name: [] for name in NAMES}
    for start in range(0, max(1, len(hashes)), ROWS_PER_BATCH):
        part = hashes[start : start + ROWS_PER_BATCH]
        position = part / 2.0**64
        test = position < TEST_SHARE
        # The low bits are independent of the position, which the high bits decide.
        val = part % np.uint64(folds) == np.uint64(fold) if folds else position < 2 * TEST_SHARE
        for name, rows in [("train", ~val & ~test), ("val", val & ~test), ("test", test)]:
            found[name].append((np.flatnonzero(rows) + start).astype(numbers))
    return {name: np.concatenate(rows) for name, rows in found.items()}


def own_splits(hashes: np.ndarray, names: np.ndarray, folds: int | None, fold: int) -> Splits:
    """Return the row numbers of each split, as the data divide themselves.

    What is missing is a part of train, by the hash as in `split`. With folds, train and val are divided anew.

    Args:
        hashes: Of shape (N,).
        names: Which of `NAMES` each row belongs to, as its number there, of shape (N,).
        folds: Number of folds, or None.
        fold: The fold that validates.
    """
    own = {name: np.flatnonzero(names == number) for number, name in enumerate(NAMES)}
    keeps_val, keeps_test = not folds and len(own["val"]) > 0, len(own["test"]) > 0
    pool = np.sort(np.concatenate([own["train"], own["val"]])) if folds else own["train"]
    position = hashes[pool] / 2.0**64
    test = (position < TEST_SHARE) & (not keeps_test)
    if folds:
        val = hashes[pool] % np.uint64(folds) == np.uint64(fold)
    else:
        val = (position >= TEST_SHARE) & (position < 2 * TEST_SHARE) & (not keeps_val)
    found = {
        "train": pool[~val & ~test],
        "val": own["val"] if keeps_val else pool[val & ~test],
        "test": own["test"] if keeps_test else pool[test],
    }
    return {name: rows.astype(row_type(len(hashes))) for name, rows in found.items()}


def check_name(split: object) -> str:
    """Return the name of a split.

    Raises:
        ValueError: It is none of `NAMES`.
    """
    if split not in NAMES:
        raise ValueError(f"the split {split!r} is none of {', '.join(NAMES)}")
    return str(split)


def count_shared(hashes: np.ndarray, splits: Splits) -> dict[str, int]:
    """Return how many keys two splits have in common, by their names, where there are any."""
    keys = {name: np.unique(hashes[rows]) for name, rows in splits.items()}
    pairs = itertools.combinations(NAMES, 2)
    counts = {f"{one} and {other}": len(np.intersect1d(keys[one], keys[other], True)) for one, other in pairs}
    return {pair: count for pair, count in counts.items() if count}


def row_type(num_rows: int) -> type[np.integer]:
    """Return the smallest of the types that can number so many rows and are fast to index with."""
    return np.int32 if num_rows < 2**31 else np.int64
