"""The norm of the gradients."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import grad_norm


class GradientNorm(Callback):
    """Log the norm of the gradients before they are clipped, whenever other metrics of a step are logged.

    Args:
        norm_type: 1, 2, ... or "inf".
        per_parameter: Whether each parameter's norm is logged besides that of all together.
    """

    def __init__(self, norm_type: float | str = 2, per_parameter: bool = False) -> None:
        self.norm_type = norm_type
        self.per_parameter = per_parameter

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        step = trainer.global_step
        if not trainer.loggers or (step + 1) % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        norms = grad_norm(pl_module, self.norm_type)
        prefix = f"grad_{float(self.norm_type)}_norm"
        shown = {"gradient_norm": norms.pop(f"{prefix}_total", 0.0)}
        if self.per_parameter:
            shown |= {name.replace(prefix, "gradient_norm"): norm for name, norm in norms.items()}
        for logger in trainer.loggers:
            logger.log_metrics({name: float(norm) for name, norm in shown.items()}, step=step)
