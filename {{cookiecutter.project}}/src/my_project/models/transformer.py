from typing import Any

from torch import Tensor, nn
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForSequenceClassification

from kindling.errors import UsageError, did_you_mean
from kindling.startup import import_transformers, reach_hub

import_transformers()


class Transformer(nn.Module):
    """A Transformers encoder (BERT, RoBERTa, ...) with a head, from token numbers (B, T) to outputs (B, num_outputs).

    Args:
        num_outputs: Classes, or numbers to predict.
        architecture: `model_type` and any other key of its configuration in Transformers.
        pretrained: Name or folder of a Hugging Face model to start from; its architecture replaces `architecture`.

    Raises:
        UsageError: There is no such pretrained model or architecture, or it can't be had without a network.
    """

    def __init__(self, num_outputs: int, architecture: dict[str, Any], pretrained: str | None = None) -> None:
        super().__init__()
        if pretrained:
            reach_hub(pretrained)
            try:
                self.network = AutoModelForSequenceClassification.from_pretrained(
                    pretrained, num_labels=num_outputs, ignore_mismatched_sizes=True
                )
            except (OSError, ValueError) as error:
                reason = str(error).strip().splitlines()[0]
                raise UsageError(f"model.pretrained={pretrained}: no model there ({reason})") from None
        else:
            if (kind := architecture["model_type"]) not in CONFIG_MAPPING:
                guess = did_you_mean(kind, CONFIG_MAPPING)
                raise UsageError(f"model.architecture.model_type={kind}: Transformers has none of that name{guess}")
            try:
                config = AutoConfig.for_model(**architecture)
                config.num_labels = num_outputs
                self.network = AutoModelForSequenceClassification.from_config(config)
            except ValueError as error:
                raise UsageError(f"model.architecture: {' '.join(str(error).split())[:300]}") from None

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.network(input_ids=input_ids, attention_mask=attention_mask).logits

    def rebuild(self) -> dict[str, Any]:
        """Return the arguments that build this architecture again without downloading anything."""
        return {"architecture": self.network.config.to_diff_dict(), "pretrained": None}
