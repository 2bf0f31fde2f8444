"""Texts, cut into tokens once."""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from ..errors import UsageError, short
from ..files import new_folder
from . import splits, store
from .batch import Batch, Inputs
from .columns import Types
from .progress import show_progress
from .readers import Row
from .stored import StoredData
from .texts import normalize, pair, read_texts, read_texts_at, shorten
from .tokenizer import Texts, TextTokenizer, read_tokens, write_tokens

log = logging.getLogger(__name__)

# A tokenizer learns from no more texts than this, spread over the training split, and from the beginning of each. Of a
# million texts, all 800,000 of that split took it 25 s and about 0.4 GB more; every ninth takes 4 s, and the texts then
# have 0.13% more tokens.
TRAINING_TEXTS = 100_000
TRAINING_CHARACTERS = 10_000
LABELS = {"classes": pa.string(), "numbers": pa.float64(), "none": None}


class TextData(StoredData):
    """Texts as token numbers, padded to the longest of their batch.

    `make_dataset.py` cuts the texts into tokens, and training does where its options ask for others. They are kept
    beside the dataset, one set for each tokenizer, and mapped from disk: memory does not grow with the texts.

    Samples have a `text` and, unless `labels` is "none", a `label`. With several input columns they have those instead
    of the `text`; the tokens of a sample are those of its first text and, behind a separator, of the others.

    Args:
        labels: What samples are labeled with: "classes", "numbers" or "none".
        vocab_size: Number of tokens of a tokenizer that is trained here, on `TRAINING_TEXTS` of the training split.
        max_length: Tokens after which a text is cut off.
        pretrained: Name or folder of a Hugging Face model whose tokenizer is used instead.
        mask: Share of the tokens that training hides, other ones in each epoch.
        **kwargs: See `DataModule`.
    """

    input_columns: tuple[str, ...] = ("text",)

    def __init__(
        self,
        labels: str = "classes",
        vocab_size: int = 8000,
        max_length: int = 128,
        pretrained: str | None = None,
        mask: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if labels not in LABELS:
            raise UsageError(f"data.labels={labels}: choose from {', '.join(LABELS)}")
        if max_length < 3 or vocab_size < 300:
            raise UsageError(
                f"data.max_length={max_length} data.vocab_size={vocab_size}: a text has a first and a last token "
                "besides its own, and the 256 bytes are tokens; use at least 3 and 300"
            )
        if not 0 <= mask < 1:
            raise UsageError(f"data.mask={mask}: expected a share of the tokens, from 0 to less than 1")
        self.labels = labels
        self.mask = mask
        self.vocab_size = vocab_size
        self.max_length = max_length
        self.pretrained = pretrained
        self.tokenizer: TextTokenizer | None = None
        self.restored: str | None = None  # definition of a checkpoint's tokenizer, which then replaces the others
        self.tokens = np.empty(0, np.int32)
        self.offsets = np.zeros(1, np.int64)

    @property
    def schema(self) -> pa.Schema:
        label = LABELS[self.labels]
        return pa.schema(
            [*((name, pa.string()) for name in self.stored_columns), *([("label", label)] if label else [])]
        )

    @property
    def stored_columns(self) -> tuple[str, ...]:
        return ("text",) if len(self.input_columns) == 1 else self.input_columns

    @property
    def remedy(self) -> str:
        return super().remedy + (", or use data.labels=classes" if self.labels == "numbers" else "")

    def name_texts(self, names: str | Sequence[str]) -> None:
        """Take the texts from the column, or the columns, of that name."""
        self.input_columns = (names,) if isinstance(names, str) else tuple(names)
        taken = [name for name in self.stored_columns if name in ("label", store.HASH, store.SPLIT)]
        if not self.input_columns or taken or len(set(self.input_columns)) < len(self.input_columns):
            raise UsageError(
                f"data.text={names}: name one column or several different ones, none of them label, hash or split"
            )

    def settings(self) -> dict[str, Any]:
        return {"labels": self.labels}

    def split_key(self, sample: Row) -> bytes:
        """Return what is the same for texts that differ in case or white space only."""
        return b"\0".join(normalize(sample[name]) for name in self.stored_columns)

    def convert_inputs(self, row: Row) -> Row:
        if len(self.stored_columns) == 1:
            return super().convert_inputs(row)
        texts = {name: "" if row.get(name) is None else row[name] for name in self.stored_columns}
        for name, text in texts.items():
            if text != "" or not any(texts.values()):  # one of several may be empty
                self._convert(name, text)
        return texts

    def prepare_data(self) -> None:
        super().setup()
        folder = self._token_folder()
        if folder.exists():
            return
        log.info("Cutting the texts of %s into tokens (once)", short(self.dir))
        num_texts: int = store.facts(self.dir)["num_samples"]
        try:
            with new_folder(folder, mark="tokenizer.json") as new:
                texts = show_progress(self._texts(), "tokens", num_texts)
                write_tokens(new, self._make_tokenizer(), texts, num_texts)
        except FileNotFoundError:
            raise UsageError(f"{short(self.dir)} was replaced while it was cut into tokens; run this again") from None

    def setup(self, stage: str | None = None) -> None:
        if len(self.tokens):
            return
        super().setup(stage)
        folder = self._token_folder()
        self.tokenizer = TextTokenizer(Path(folder, "tokenizer.json").read_text(encoding="utf-8"), self.max_length)
        self.tokens, self.offsets = read_tokens(folder)

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        lengths = np.empty(len(rows), np.int32)
        for start in range(0, len(rows), splits.ROWS_PER_BATCH):
            part = rows[start : start + splits.ROWS_PER_BATCH]
            lengths[start : start + splits.ROWS_PER_BATCH] = self.offsets[part + 1] - self.offsets[part]
        return lengths

    def extremes(self) -> np.ndarray:
        train = self.splits["train"]
        longest = int(self.lengths(train).argmax())
        # The row with the largest token, among the first ones: an embedding that is too small fails there.
        peak = int(self.tokens[:1_000_000].argmax())
        row = int(np.searchsorted(self.offsets, peak, side="right")) - 1
        return np.array([longest, np.searchsorted(train, row) % len(train)])

    def inputs(self, rows: np.ndarray) -> Inputs:
        return self._pad(self.tokens, self.offsets[rows], self.offsets[rows + 1])

    def augments(self) -> bool:
        return self.mask > 0 or type(self).augment is not TextData.augment

    def augment(self, batch: Batch) -> Batch:
        assert self.tokenizer is not None, "setup() comes first"
        ids = batch.inputs["input_ids"]
        hidden = (torch.rand(ids.shape) < self.mask) & ~torch.isin(ids, self.tokenizer.special_ids)
        masked = ids.masked_fill(hidden, self.tokenizer.mask_id)
        return batch._replace(inputs=batch.inputs | {"input_ids": masked})

    def encode(self, rows: list[Row]) -> Inputs:
        assert self.tokenizer is not None, "setup() or load_state_dict() comes first"
        tokens, offsets = self.tokenizer.cut(pair([[row[name] or "" for name in self.input_columns] for row in rows]))
        return self._pad(tokens, offsets[:-1], offsets[1:])

    def size(self, row: Row) -> int:
        return sum(len(row[name] or "") for name in self.input_columns)

    def show(self, rows: np.ndarray) -> list[str]:
        """Return the beginnings of the texts of these samples, each in one line."""
        return [shorten(text) for text in read_texts_at(self.dir, self.stored_columns, rows)]

    def dummy(self, size: int = 2) -> Batch:
        texts = [" ".join(["word"] * (1 + number)) for number in range(size)]
        return Batch(self.encode([dict.fromkeys(self.input_columns, text) for text in texts]), None, size)

    def state_dict(self) -> dict[str, Any]:
        assert self.tokenizer is not None, "setup() comes first"
        return super().state_dict() | {"tokenizer": self.tokenizer.definition}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        if not self.tokenizer or self.tokenizer.definition != state_dict["tokenizer"]:
            self.restored = state_dict["tokenizer"]
            self.tokenizer = TextTokenizer(state_dict["tokenizer"], self.max_length)

    def inherit(self, state_dict: dict[str, Any]) -> None:
        self.restored = state_dict["tokenizer"]

    def _pad(self, tokens: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> Inputs:
        """Return the texts that start and end at these places in `tokens` as a batch (B, T), T being the longest."""
        assert self.tokenizer is not None
        places = np.arange((ends - starts).max())
        mask = places < (ends - starts)[:, None]
        # One gather for all rows, 14 us for 32 texts of 34 tokens, is four times as fast as a slice for each of them.
        # Past the end of its text a row holds the next one's tokens, until they are masked.
        ids = tokens.take(starts[:, None] + places, mode="clip").astype(np.int64)
        ids[~mask] = self.tokenizer.pad_id
        return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask.astype(np.int64))}

    def _token_folder(self) -> Path:
        """Return where the tokens belong: a folder whose name changes with all they depend on."""
        own = self._folder_of(self.pretrained or [self.vocab_size, self.folds, self.folds and self.fold])
        if not self.restored:
            return own
        file = own / "tokenizer.json"
        if file.exists() and file.read_text(encoding="utf-8") == self.restored:
            return own  # the training run made them
        return self._folder_of(self.restored)

    def _folder_of(self, origin: Any) -> Path:
        key = json.dumps([self.hash, origin, self.max_length]).encode()
        return self.dir / "tokens" / hashlib.sha256(key).hexdigest()[:12]

    def _make_tokenizer(self) -> TextTokenizer:
        if self.restored:
            return TextTokenizer(self.restored, self.max_length)
        if self.pretrained:
            return TextTokenizer.pretrained(self.pretrained, self.max_length)
        texts, pairs = show_progress(self._training_texts(), "vocabulary"), len(self.input_columns) > 1
        return TextTokenizer.train(texts, self.vocab_size, self.max_length, pairs)

    def _mapped(self) -> Types:
        return {}  # tokens are what is mapped from disk

    def _texts(self) -> Iterator[Texts]:
        return map(pair, read_texts(self.dir, self.stored_columns))

    def _training_texts(self) -> Iterator[list[str]]:
        """Yield the texts of the training split, every n-th if it has more than `TRAINING_TEXTS`."""
        train = self.splits["train"]
        chosen = train[:: -(-len(train) // TRAINING_TEXTS)]
        start = 0
        for chunk in read_texts(self.dir, self.stored_columns):
            first, last = np.searchsorted(chosen, [start, start + len(chunk)])
            yield [text[:TRAINING_CHARACTERS] for row in chosen[first:last] for text in chunk[row - start]]
            start += len(chunk)
