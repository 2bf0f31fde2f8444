"""Lightning as its documentation shows it: self.log and torchmetrics' forward in every step, the default loader."""

import torchmetrics
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from work import CLIP, Sample, Work, as_list

TITLE = "Lightning, plain"
STEPS = {"text": 80}


class Classifier(LightningModule):
    """The network, its loss and its accuracy."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.work = work
        self.network = work.network()
        self.loss = nn.CrossEntropyLoss()
        self.accuracy = torchmetrics.Accuracy(task="multiclass", num_classes=work.num_classes)

    def training_step(self, batch: Sample, batch_idx: int) -> Tensor:
        """Return the loss."""
        inputs, target = batch
        output = self.network(*as_list(inputs))
        loss: Tensor = self.loss(output, target)
        self.accuracy(output, target)
        self.log("train_loss", loss, prog_bar=True)
        self.log("train_accuracy", self.accuracy, prog_bar=True)
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer and a schedule that steps with it."""
        optimizer = self.work.optimizer(self.parameters())
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.work.schedule(optimizer), "interval": "step"},
        }


def train(work: Work) -> None:
    """Train for an epoch; the clock ends it."""
    folder = work.folder / "lightning"
    trainer = Trainer(max_epochs=1, gradient_clip_val=CLIP, accelerator="cpu", default_root_dir=folder)
    trainer.fit(Classifier(work), work.loader())


JOBS = {
    "text": train,
    "mlp": train,
    "mlp_1024": train,
    "overhead": train,
    "command": train,
    "startup_bow": train,
    "startup_bert": train,
}
