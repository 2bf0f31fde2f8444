"""What a contender gets: its data, its network, its optimizer and its schedule. The baked project brings its own."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset

from jobs import Job

Sample = tuple[Tensor | tuple[Tensor, ...], Tensor]  # inputs of the network, target
CLIP = 1.0


@dataclass
class Work:
    """One job for one process.

    Args:
        folder: What `prepare.py` made.
        job: The job.
        seed: Seed of the weights, and of the order of the batches where a contender takes the prepared one.
        dropout: Of the text models.
    """

    folder: Path
    job: Job
    seed: int
    dropout: float = 0.1

    def __post_init__(self) -> None:
        data = self.folder / self.job.data
        self.targets = torch.from_numpy(np.load(data / "targets.npy"))
        self.num_classes = int(self.targets.max()) + 1
        self.num_batches = -(-len(self.targets) // self.job.batch_size)
        self.is_text = (data / "tokens.npy").exists()
        if self.is_text:
            self.tokens = np.load(data / "tokens.npy", mmap_mode="r")
            self.offsets = np.load(data / "offsets.npy")
            self.tokenizer_file = data / "tokenizer.json"
        else:
            self.table = torch.from_numpy(np.load(data / "inputs.npy", mmap_mode="c"))

    def order(self) -> list[np.ndarray]:
        """Return the batches of the baked project's first epoch, as rows of the prepared data."""
        prepared = np.load(self.folder / self.job.data / f"order-{self.job.batch_size}-{self.seed}.npz")
        return np.split(prepared["rows"], prepared["ends"][:-1])

    def dataset(self) -> Dataset[Sample]:
        """Return the samples one by one, as a user's first dataset would."""
        return Texts(self) if self.is_text else Rows(self)

    def loader(self) -> DataLoader[Sample]:
        """Return the loader that documentations show: shuffled, and each batch padded to its longest text."""
        return DataLoader(
            self.dataset(), self.job.batch_size, shuffle=True, collate_fn=pad_samples if self.is_text else None
        )

    def network(self) -> nn.Module:
        """Return the network with weights that depend on the seed alone."""
        torch.manual_seed(self.seed)
        match self.job.network:
            case "bert":
                return Bert(self.num_classes, self.dropout, hidden_size=128, layers=2, heads=2, max_length=256)
            case "bert_base":
                return Bert(self.num_classes, self.dropout, hidden_size=768, layers=12, heads=12, max_length=128)
            case "bow":
                return BagOfWords(self.num_classes)
            case "mlp":
                return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, self.num_classes))
            case "linear":
                return nn.Linear(4, self.num_classes)
        raise ValueError(self.job.network)

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """Return AdamW, fused."""
        return AdamW(parameters, lr=1e-3, weight_decay=0.01, fused=True)

    def schedule(self, optimizer: Optimizer) -> LambdaLR:
        """Return a rise over a tenth of the epoch's steps, and a fall to zero at its end."""
        total = self.num_batches
        rising = max(1, round(0.1 * total))
        falling = max(1, total - rising)
        return LambdaLR(optimizer, lambda step: min((step + 1) / (rising + 1), max(0.0, (total - step) / falling), 1.0))


class Texts(Dataset[Sample]):
    """Texts as token numbers of shape (T,), not yet padded."""

    def __init__(self, work: Work) -> None:
        self.tokens, self.offsets, self.targets = work.tokens, work.offsets, work.targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> Sample:
        text = self.tokens[self.offsets[row] : self.offsets[row + 1]]
        return torch.from_numpy(text.astype(np.int64)), self.targets[row]


class Rows(Dataset[Sample]):
    """Rows of a table of bytes, as numbers from 0 to 1."""

    def __init__(self, work: Work) -> None:
        self.table, self.targets = work.table, work.targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> Sample:
        return self.table[row].float() / 255, self.targets[row]


def pad_samples(samples: list[tuple[Tensor, Tensor]]) -> Sample:
    """Return token numbers and mask of shape (B, T), padded to the longest text, and the targets of shape (B,)."""
    texts = [text for text, _ in samples]
    ids = nn.utils.rnn.pad_sequence(texts, batch_first=True)
    lengths = torch.tensor([len(text) for text in texts])
    mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
    return (ids, mask), torch.stack([target for _, target in samples])


class Bert(nn.Module):
    """BERT of Transformers with a head, from token numbers (B, T) to logits (B, num_classes)."""

    def __init__(
        self, num_classes: int, dropout: float, hidden_size: int, layers: int, heads: int, max_length: int
    ) -> None:
        super().__init__()
        from transformers import AutoConfig, AutoModelForSequenceClassification  # not for the other networks

        config = AutoConfig.for_model(
            "bert",
            vocab_size=8000,
            max_position_embeddings=max_length,
            hidden_size=hidden_size,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=4 * hidden_size,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
        config.num_labels = num_classes
        self.network = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.network(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


class BagOfWords(nn.Module):
    """The mean of the tokens' vectors and a linear layer, from (B, T) to logits (B, num_classes)."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(8000, 128)
        self.head = nn.Linear(128, num_classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the logits."""
        weight = attention_mask / attention_mask.sum(dim=1, keepdim=True)
        logits: Tensor = self.head((self.embedding(input_ids) * weight.unsqueeze(-1)).sum(dim=1))
        return logits


def as_list(inputs: Any) -> list[Tensor]:
    """Return the network's inputs, which a collate function may have packed as a list, a tuple or alone."""
    return list(inputs) if isinstance(inputs, list | tuple) else [inputs]
