"""Text: rows of words, cut into tokens once."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import UsageError, short
from . import dataset
from .base import DataModule, Inputs
from .tokens import TextTokenizer, read_tokens, write_tokens

log = logging.getLogger(__name__)


class TextData(DataModule):
    """Texts as token numbers, padded to the longest of their batch.

    The texts are cut into tokens when a tokenizer meets them first; the tokens are kept beside the dataset.

    Args:
        vocab_size: Number of tokens of a tokenizer that is trained here, on the training split.
        max_length: Tokens after which a text is cut off.
        pretrained: Name or folder of a Hugging Face model whose tokenizer is used instead.
        **kwargs: See `DataModule`.
    """

    def __init__(
        self, vocab_size: int = 8000, max_length: int = 128, pretrained: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if max_length < 3 or vocab_size < 300:
            raise UsageError(
                f"data.max_length={max_length} data.vocab_size={vocab_size}: a text has a first and a last token "
                "besides its own, and the 256 bytes are tokens; use at least 3 and 300"
            )
        self.vocab_size = vocab_size
        self.max_length = max_length
        self.pretrained = pretrained
        self.tokenizer: TextTokenizer | None = None
        self.restored: str | None = None  # definition of a checkpoint's tokenizer, which then replaces the others
        self.tokens = np.empty(0, np.int32)
        self.offsets = np.zeros(1, np.int64)

    def prepare_data(self) -> None:
        super().setup()
        folder = self._token_folder()
        if not folder.exists():
            log.info("Cutting the texts of %s into tokens (once)", short(self.dir))
            self._make_tokens(folder)

    def setup(self, stage: str | None = None) -> None:
        if len(self.tokens):
            return
        super().setup(stage)
        folder = self._token_folder()
        self.tokenizer = TextTokenizer(Path(folder, "tokenizer.json").read_text(encoding="utf-8"), self.max_length)
        self.tokens, self.offsets = read_tokens(folder)

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        return self.offsets[rows + 1] - self.offsets[rows]

    def extremes(self) -> np.ndarray:
        train = self.splits["train"]
        longest = int(self.lengths(train).argmax())
        # The row with the largest token, among the first ones: an embedding that is too small fails there.
        peak = int(self.tokens[:1_000_000].argmax())
        row = int(np.searchsorted(self.offsets, peak, side="right")) - 1
        return np.array([longest, np.searchsorted(train, row) % len(train)])

    def inputs(self, rows: np.ndarray) -> Inputs:
        return self._pad([self.tokens[self.offsets[row] : self.offsets[row + 1]] for row in rows])

    def encode(self, rows: list[dict[str, Any]]) -> Inputs:
        assert self.tokenizer is not None, "setup() or load_state_dict() comes first"
        return self._pad(self.tokenizer([row[self.input_column] for row in rows]))

    def problem(self, row: dict[str, Any]) -> str:
        return dataset.problem(row.get(self.input_column), "text")

    def size(self, row: dict[str, Any]) -> int:
        return len(row[self.input_column])

    def state_dict(self) -> dict[str, Any]:
        assert self.tokenizer is not None, "setup() comes first"
        return super().state_dict() | {"tokenizer": self.tokenizer.definition}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        if not self.tokenizer or self.tokenizer.definition != state_dict["tokenizer"]:
            self.restored = state_dict["tokenizer"]
            self.tokenizer = TextTokenizer(state_dict["tokenizer"], self.max_length)

    def _pad(self, texts: list[np.ndarray]) -> Inputs:
        assert self.tokenizer is not None
        lengths = np.array([len(text) for text in texts])
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(mask.shape, self.tokenizer.pad_id, np.int64)
        ids[mask] = np.concatenate(texts)
        return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask.astype(np.int64))}

    def _token_folder(self) -> Path:
        """Return where the tokens belong: a folder whose name changes with all they depend on."""
        for file in self.dir.glob("tokens/*/tokenizer.json") if self.restored else ():
            if not file.parent.suffix and file.read_text(encoding="utf-8") == self.restored:
                return file.parent  # the training run made them
        origin: Any = self.restored or self.pretrained or [self.vocab_size, self.folds, self.folds and self.fold]
        key = json.dumps([self.hash, origin, self.max_length]).encode()
        return self.dir / "tokens" / hashlib.sha256(key).hexdigest()[:12]

    def _make_tokens(self, folder: Path) -> None:
        new = folder.with_name(f"{folder.name}.{os.getpid()}")
        shutil.rmtree(new, ignore_errors=True)  # of a killed process; in a container it had the same number
        new.mkdir(parents=True)
        try:
            write_tokens(new, self._make_tokenizer(), dataset.read_texts(self.dir))
            new.rename(folder)
        except OSError:
            if not folder.exists():  # else another process made the same tokens meanwhile
                raise
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _make_tokenizer(self) -> TextTokenizer:
        if self.restored:
            return TextTokenizer(self.restored, self.max_length)
        if self.pretrained:
            return TextTokenizer.pretrained(self.pretrained, self.max_length)
        return TextTokenizer.train(self._training_texts(), self.vocab_size, self.max_length)

    def _training_texts(self) -> Iterator[list[str]]:
        start = 0
        for chunk in dataset.read_texts(self.dir):
            keep = np.isin(np.arange(start, start + len(chunk)), self.splits["train"])
            yield [text for text, kept in zip(chunk, keep, strict=True) if kept]
            start += len(chunk)
