"""The Trainer of Hugging Face Transformers with its default settings and its padding collator."""

from typing import Any

from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import DataCollatorWithPadding, PreTrainedTokenizerFast, Trainer, TrainingArguments

from work import Work

TITLE = "Hugging Face Trainer"
STEPS = {"text": 80}


class Named(Dataset[dict[str, Any]]):
    """The samples of a job as the Trainer wants them: by name."""

    def __init__(self, work: Work) -> None:
        self.samples: Any = work.dataset()

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, row: int) -> dict[str, Any]:
        inputs, target = self.samples[row]
        return {"inputs": inputs, "labels": target}


class WithLoss(nn.Module):
    """A network that returns its loss, which the Trainer asks of every model."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.loss = nn.CrossEntropyLoss()

    def forward(self, inputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the loss and the logits."""
        logits = self.network(inputs)
        return {"loss": self.loss(logits, labels), "logits": logits}


def texts(work: Work) -> Any:
    """Return the texts as a dataset of Hugging Face, tokens and lengths in it."""
    from datasets import Dataset as Table

    rows = [work.tokens[start:end] for start, end in zip(work.offsets, work.offsets[1:], strict=False)]
    return Table.from_dict(
        {
            "input_ids": rows,
            "attention_mask": [[1] * len(row) for row in rows],
            "labels": work.targets.tolist(),
            "length": [len(row) for row in rows],
        }
    )


def train(work: Work, **arguments: Any) -> None:
    """Train for an epoch; the clock ends it."""
    settings = TrainingArguments(
        output_dir=str(work.folder / "hugging_face"),
        per_device_train_batch_size=work.job.batch_size,
        num_train_epochs=1,
        learning_rate=1e-3,
        weight_decay=0.01,
        warmup_steps=round(0.1 * work.num_batches),
        seed=work.seed,
        use_cpu=True,
        **arguments,
    )
    model: Any = work.network()
    if work.is_text:
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(work.tokenizer_file), pad_token="[PAD]")  # type: ignore[no-untyped-call]
        trainer = Trainer(
            model.network, settings, train_dataset=texts(work), data_collator=DataCollatorWithPadding(tokenizer)
        )
    else:
        trainer = Trainer(WithLoss(model), settings, train_dataset=Named(work))
    trainer.train()


JOBS = {"text": train, "mlp": train, "mlp_1024": train, "overhead": train, "command": train}
