"""Strategies of Lightning whose checkpoints are files like all others."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.strategies import DDPStrategy, DeepSpeedStrategy
from pytorch_lightning.strategies.deepspeed import _DEEPSPEED_AVAILABLE

from ..errors import UsageError


class DeepSpeed(DeepSpeedStrategy):
    """DeepSpeed of stage 1 or 2, which shares out the optimizer's state, and the gradients, but not the weights.

    Its checkpoints hold everything but the optimizer's state, of which each process has a part: they evaluate, predict
    and begin another run with `init=`. Training cannot go on from them.

    Args:
        stage: 1 or 2.
        **kwargs: Arguments of Lightning's strategy.

    Raises:
        UsageError: It is another stage, or DeepSpeed is not installed.
    """

    def __init__(self, stage: int = 2, **kwargs: Any) -> None:
        if stage not in (1, 2):
            raise UsageError(f"trainer.strategy.stage={stage}: choose 1 or 2; trainer=fsdp shares out the weights, too")
        if not _DEEPSPEED_AVAILABLE:
            raise UsageError("trainer=deepspeed: DeepSpeed is not installed; run: pip install deepspeed")
        super().__init__(stage=stage, **kwargs)

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: Any = None) -> None:
        checkpoint = checkpoint | {"state_dict": self.lightning_module_state_dict()}
        checkpoint.pop("optimizer_states", None)
        DDPStrategy.save_checkpoint(self, checkpoint, filepath, storage_options)

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        assert self.lightning_module is not None
        if self.lightning_module.trainer.state.fn == "fit":
            raise UsageError(
                "resume: checkpoints of trainer=deepspeed hold no optimizer to go on with; init=<run> begins with the "
                "weights"
            )
        return DDPStrategy.load_checkpoint(self, checkpoint_path, weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        assert self.lightning_module is not None
        self.lightning_module.load_state_dict(checkpoint["state_dict"], strict=strict)
