"""Text datasets of the Hugging Face hub."""

import logging
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
from datasets import ClassLabel, Dataset, load_dataset

from ..errors import UsageError, did_you_mean
from ..startup import reach_hub
from .readers import Row
from .store import SPLIT
from .text import TextData
from .tokenizer import first_line

log = logging.getLogger(__name__)

CHOICES = ("own", "hash")
PREFIXES = {"train": "train", "val": "val", "dev": "val", "test": "test"}  # of the names that splits have on the hub


class HubText(TextData):
    """A text dataset of the hub, or a local folder that `datasets.load_dataset` reads.

    Splits without labels (the hub writes -1) are left out.

    Args:
        name: Name of the dataset on the hub, or a folder.
        subset: Its configuration, for datasets that have several.
        revision: Branch, tag or commit.
        text: Column with the text, or several columns.
        label: Column with the label, unless `labels` is "none".
        splits: "own" keeps the dataset's train, validation and test, so that results can be compared with published
            ones; what is missing becomes a part of train. "hash" joins them and splits all samples anew by content.
        **kwargs: See `TextData`.
    """

    def __init__(
        self,
        name: str,
        subset: str | None = None,
        revision: str | None = None,
        text: str | Sequence[str] = "text",
        label: str = "label",
        splits: str = "hash",  # as in checkpoints from before there was a choice; the config says "own"
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if splits not in CHOICES:
            raise UsageError(f"data.splits={splits}: there is no such choice{did_you_mean(splits, CHOICES)}")
        self.name = name
        self.subset = subset
        self.revision = revision
        self.name_texts(text)
        self.label = label
        self.divided = splits

    @property
    def schema(self) -> pa.Schema:
        schema = super().schema
        return schema.append(pa.field(SPLIT, pa.string())) if self.divided == "own" else schema

    @cached_property
    def source(self) -> dict[str, Dataset]:
        """The labeled splits of the dataset as `load_dataset` gives them, by their names.

        Raises:
            UsageError: It can't be had, or it lacks a column.
        """
        reach_hub(str(self.name))
        try:
            found = load_dataset(self.name, self.subset, revision=self.revision)
        except (OSError, ValueError, RuntimeError) as error:
            raise UsageError(f"data.name={self.name}: {first_line(error)}") from None
        labels = [self.label] if self.labels != "none" else []
        for split in found.values():
            for column in (*self.input_columns, *labels):
                if column not in split.column_names:
                    names = ", ".join(split.column_names)
                    remedy = "name yours with data.text, data.label"
                    raise UsageError(f"data.name={self.name}: no column {column!r} among {names}; {remedy}")
        labeled = {name: split for name, split in sorted(found.items()) if not labels or _has_labels(split, self.label)}
        if not labeled:
            raise UsageError(f"data.name={self.name}: no split has labels (all are -1)")
        return labeled

    def samples(self) -> Iterator[tuple[str, Row]]:
        number, found = 0, set()
        for name, split in self.source.items():
            own = next((own for prefix, own in PREFIXES.items() if name.startswith(prefix)), None)
            if self.divided == "own" and own is None:
                log.warning("%s: the split %s is left out; data.splits=hash takes all", self.name, name)
                continue
            found.add(own)
            feature = split.features.get(self.label)
            names = feature.names if isinstance(feature, ClassLabel) else None
            for row in split:
                number += 1
                label = row.get(self.label)
                if names and label is not None:
                    label = names[label] if label >= 0 else None
                yield f"{self.name}, row {number}", self._rename(row) | {"label": label, SPLIT: own}
        for missing in ("val", "test") if self.divided == "own" else ():
            if missing not in found:
                log.info("%s has no %s split: a tenth of train becomes one", self.name, missing)

    def settings(self) -> dict[str, Any]:
        return super().settings() | {
            "name": self.name,
            "subset": self.subset,
            "revision": self.revision,
            "text": self.input_columns[0] if len(self.input_columns) == 1 else list(self.input_columns),
            "label": self.label,
            "splits": self.divided,
        }

    def fingerprint(self) -> str:
        return " ".join(split._fingerprint for split in self.source.values())


def _has_labels(split: Dataset, label: str) -> bool:
    return bool(split.unique(label) != [-1])
