"""Train a model.

python train.py                                     the defaults in configs/train.yaml
python train.py model=bert trainer.gpus=4           another model, four GPUs
python train.py -m model=bert,lstm seed=1,2         every combination, and a table
python train.py 'tune=[batch_size,lr]'              find batch size and learning rate first, and train with them
python train.py resume=auto                         go on with the newest run where it stopped
python train.py rerun=runs/2026-01-01/12-00-00      repeat a run, and say whether its metrics come out the same
"""

import hydra
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from kindling.cli.command import command


def train(cfg: DictConfig) -> dict[str, float]:
    """Build every object that `cfg` names, fit, and return the metrics of the best checkpoint."""
    # Imported here, so that --help does not wait for torch.
    from pytorch_lightning import seed_everything

    from kindling.checkpoints.load import find_checkpoint, load_weights
    from kindling.runs.console import describe, describe_resumed, read_metrics, write_metrics
    from kindling.runs.rerun import compare_rerun, describe_rerun
    from kindling.training.processes import run_processes, starts_processes
    from kindling.training.trainer import evaluate_best
    from kindling.training.tuning.tune import tune

    tune(cfg)
    trainer = instantiate(cfg.trainer)
    if starts_processes(trainer):
        run_processes(cfg, trainer)
        return read_metrics(f"{cfg.paths.output}/metrics.json")

    seed_everything(cfg.seed, workers=True, verbose=False)
    data = instantiate(cfg.data)
    task = instantiate(cfg.task)
    if cfg.init:
        load_weights(task, data, find_checkpoint(cfg.init, cfg.paths.runs, "init"), cfg.checkpoint_io.load.exclude)
    task.check(data, cfg.monitor, trainer.world_size)
    describe(task, data, trainer, cfg.paths.output)

    # The config travels in the checkpoint, so evaluate and predict need nothing else. Paths in it are relative.
    portable = OmegaConf.merge(cfg, {"paths": {"root": "."}})
    config = OmegaConf.to_container(portable, resolve=True)
    task.save_hyperparameters(config, logger=False)
    if cfg.resume:
        describe_resumed(cfg.resume, config)
    elif cfg.rerun:
        describe_rerun(cfg.rerun, config, trainer, data)

    trainer.fit(task, data, ckpt_path=cfg.resume)
    metrics, checkpoint = evaluate_best(trainer, task, data)
    write_metrics(metrics, f"{cfg.paths.output}/metrics.json", checkpoint)
    if cfg.rerun:
        compare_rerun(cfg.rerun, metrics, cfg.paths.output)
    return metrics


@command
@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def main(cfg: DictConfig) -> float:
    """Return the metric that a sweep optimises."""
    return train(cfg)[cfg.monitor]


if __name__ == "__main__":
    main()
