"""Datasets of the Hugging Face hub."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from datasets import ClassLabel, Dataset, concatenate_datasets, load_dataset

from ..errors import UsageError
from .text import TextData
from .tokenizer import first_line


class HubText(TextData):
    """A text dataset of the hub, or a local folder that `datasets.load_dataset` reads.

    Its own splits are joined and split anew by content, so that they follow the same rule as all datasets here. Splits
    without labels (the hub writes -1) are left out.

    Args:
        name: Name of the dataset on the hub, or a folder.
        subset: Its configuration, for datasets that have several.
        revision: Branch, tag or commit.
        text: Column with the text.
        label: Column with the label.
        **kwargs: See `TextData`.
    """

    def __init__(
        self,
        name: str,
        subset: str | None = None,
        revision: str | None = None,
        text: str = "text",
        label: str = "label",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.subset = subset
        self.revision = revision
        self.input_column = text
        self.label = label

    @cached_property
    def source(self) -> Dataset:
        """The dataset as `load_dataset` gives it, its labelled splits joined.

        Raises:
            UsageError: It can't be had, or it lacks a column.
        """
        try:
            splits = load_dataset(self.name, self.subset, revision=self.revision)
        except (OSError, ValueError, RuntimeError) as error:
            raise UsageError(f"data.name={self.name}: {first_line(error)}") from None
        for split in splits.values():
            for column in (self.input_column, self.label):
                if column not in split.column_names:
                    names = ", ".join(split.column_names)
                    remedy = "name yours with data.text, data.label"
                    raise UsageError(f"data.name={self.name}: no column {column!r} among {names}; {remedy}")
        labelled = [split for _, split in sorted(splits.items()) if split.unique(self.label) != [-1]]
        if not labelled:
            raise UsageError(f"data.name={self.name}: no split has labels (all are -1)")
        return concatenate_datasets(labelled)

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        feature = self.source.features[self.label]
        names = feature.names if isinstance(feature, ClassLabel) else None
        for number, row in enumerate(self.source, start=1):
            label = row[self.label]
            if names and label is not None:
                label = names[label] if label >= 0 else None
            yield f"{self.name}, row {number}", {"text": row[self.input_column], "label": label}

    def settings(self) -> dict[str, Any]:
        return super().settings() | {
            "name": self.name,
            "subset": self.subset,
            "revision": self.revision,
            "text": self.input_column,
            "label": self.label,
        }

    def fingerprint(self) -> str:
        return self.source._fingerprint
