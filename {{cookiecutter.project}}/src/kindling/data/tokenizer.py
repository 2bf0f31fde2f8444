"""Cut texts into tokens."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from ..errors import UsageError
from ..startup import reach_hub

Texts = list[str] | list[tuple[str, str]]


class TextTokenizer:
    """A fast tokenizer that cuts texts off after `max_length` tokens.

    Args:
        definition: What `Tokenizer.to_str` returns, with the padding token in it. A checkpoint holds it.
        max_length: Tokens of the longest text, the special ones included.
    """

    def __init__(self, definition: str, max_length: int) -> None:
        tokenizer = Tokenizer.from_str(definition)
        self.pad_id: int = (tokenizer.padding or {})["pad_id"]
        tokenizer.enable_truncation(max_length)
        self.definition = tokenizer.to_str()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        added = tokenizer.get_added_tokens_decoder()
        self.special_ids = torch.tensor([number for number, token in added.items() if token.special])

    @property
    def mask_id(self) -> int:
        """The token that stands for one that is hidden.

        Raises:
            UsageError: The tokenizer has none.
        """
        found = [self._tokenizer.token_to_id(token) for token in ("[MASK]", "<mask>")]
        known = [number for number in found if number is not None]
        if not known:
            raise UsageError("data.mask: this tokenizer has no token for what is hidden; use data.mask=0")
        return known[0]

    def __call__(self, texts: Texts) -> list[np.ndarray]:
        """Return the token numbers of each text, or of each pair of texts."""
        return [np.array(encoding.ids, np.int32) for encoding in self._tokenizer.encode_batch_fast(texts)]

    def cut(self, texts: Texts) -> tuple[np.ndarray, np.ndarray]:
        """Return the tokens of all texts in a row, and offsets, both as `read_tokens` does."""
        tokens = self(texts)
        return np.concatenate(tokens), np.cumsum([0, *map(len, tokens)])

    @classmethod
    def train(
        cls, texts: Iterable[list[str]], vocab_size: int, max_length: int, pairs: bool = False
    ) -> "TextTokenizer":
        """Train byte-pair encoding on bytes (Radford et al., 2019), in lower case, on chunks of texts.

        The same texts give the same tokenizer. WordPiece would not: its trainer depends on the order of a hash map
        (https://github.com/huggingface/tokenizers/issues/1794).

        Args:
            texts: Chunks of texts.
            vocab_size: Number of tokens.
            max_length: Tokens of the longest text, or pair of texts.
            pairs: Whether pairs of texts are going to be cut, with a [SEP] between the two.
        """
        tokenizer = Tokenizer(models.BPE())
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=["[PAD]", "[CLS]", "[SEP]", "[MASK]"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]",
            pair="[CLS] $A [SEP] $B [SEP]" if pairs else None,
            special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
        )
        tokenizer.enable_padding(pad_id=tokenizer.token_to_id("[PAD]"), pad_token="[PAD]")
        return cls(tokenizer.to_str(), max_length)

    @classmethod
    def pretrained(cls, name: str, max_length: int) -> "TextTokenizer":
        """Return the tokenizer of the Hugging Face model with this name or in this folder.

        Raises:
            UsageError: There is none, or it can't be had without a network.
        """
        from transformers import AutoTokenizer  # here, as models that are not pretrained do without transformers

        reach_hub(name)
        try:
            pretrained = AutoTokenizer.from_pretrained(name)
        except (OSError, ValueError) as error:
            raise UsageError(f"model.pretrained={name}: no tokenizer there ({first_line(error)})") from None
        tokenizer = Tokenizer.from_str(pretrained.backend_tokenizer.to_str())
        tokenizer.enable_padding(pad_id=pretrained.pad_token_id or 0, pad_token=pretrained.pad_token or "")
        return cls(tokenizer.to_str(), max_length)


def write_tokens(folder: Path, tokenizer: TextTokenizer, texts: Iterable[Texts], num_texts: int) -> None:
    """Write the tokens of chunks of texts to `folder`, one chunk at a time. `read_tokens` says what."""
    Path(folder, "tokenizer.json").write_text(tokenizer.definition, encoding="utf-8")
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.int64)), "fortran_order": False}
    end = 0
    with open(folder / "tokens.int32", "wb") as file, open(folder / "offsets.npy", "wb") as offsets:
        np.lib.format.write_array_header_1_0(offsets, header | {"shape": (num_texts + 1,)})
        offsets.write(np.zeros(1, np.int64).tobytes())  # `tofile` would not say that a disk is full
        for chunk in texts:
            tokens, places = tokenizer.cut(chunk)
            file.write(tokens.tobytes())
            offsets.write((end + places[1:]).astype(np.int64, copy=False).tobytes())
            end += int(places[-1])


def read_tokens(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens of all texts in a row, of shape (number of tokens,), and offsets; both are mapped from disk.

    The offsets, of shape (number of texts + 1,), say where each text starts and where the last one ends.
    """
    tokens = np.memmap(folder / "tokens.int32", np.int32, mode="r")
    offsets = np.load(folder / "offsets.npy", mmap_mode="r")
    # As plain arrays: to slice a `memmap` costs twice as much as to read what a text holds.
    return tokens.view(np.ndarray), offsets.view(np.ndarray)


def first_line(error: Exception) -> str:
    """Return the first line of the error's message; libraries write whole paragraphs."""
    return str(error).strip().splitlines()[0].strip()
