"""Train a model.

python train.py                                     the defaults in configs/train.yaml
python train.py model=bert trainer.gpus=4           another model, four GPUs
python train.py -m model=bert,lstm seed=1,2         every combination, and a table
python train.py 'tune=[batch_size,lr]'              find batch size and learning rate first, and train with them
python train.py resume=auto                         go on with the newest run where it stopped
python train.py rerun=runs/2026-01-01/12-00-00      repeat a run, and say whether its metrics come out the same
"""

import hydra
from omegaconf import DictConfig

from kindling.cli.command import command
from kindling.launch import launch


def train(cfg: DictConfig) -> dict[str, float]:
    """Build what `cfg` names, fit, and return the metrics of the best checkpoint."""
    from kindling.training.build import build, evaluate_best  # here, so that --help does not wait for torch

    data, task, trainer = build(cfg)
    trainer.fit(task, data, ckpt_path=cfg.resume)  # the path of a checkpoint, also for resume=auto
    return evaluate_best(trainer, task, data)


@command
@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def main(cfg: DictConfig) -> float | None:
    """Return the metric that a sweep optimizes."""
    return launch(train, cfg).get(cfg.monitor)


if __name__ == "__main__":
    main()
