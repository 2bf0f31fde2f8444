"""Test a checkpoint.

python evaluate.py checkpoint=best                                     the best checkpoint of the newest run
python evaluate.py checkpoint=runs/2026-11-20/12-00-00                 of this run
python evaluate.py checkpoint=best report=true                         and draw its confusion matrix
python evaluate.py inspect=last                                        where training stood, and what is left
"""

import hydra
from hydra.utils import instantiate
from omegaconf import DictConfig

from kindling.cli.command import command


def evaluate(cfg: DictConfig) -> dict[str, float]:
    """Return the metrics of the checkpoint on the test split of the data that it was trained on."""
    # Imported here, so that --help does not wait for torch.
    from kindling.checkpoints.load import find_checkpoint, load_data, load_task
    from kindling.reports.report import Report
    from kindling.runs.console import read_metrics, write_metrics
    from kindling.training.processes import run_processes, starts_processes

    path = find_checkpoint(cfg.checkpoint, cfg.paths.runs)
    task = load_task(path)
    trainer = instantiate(cfg.trainer, precision=task.hparams["trainer"]["precision"])
    if starts_processes(trainer):
        run_processes(cfg, trainer)
        return read_metrics(path.parent / "evaluation.json")
    if cfg.report:
        trainer.callbacks.append(Report(path.parent))
    (test,) = trainer.test(task, load_data(path, cfg.paths.root), verbose=False)
    write_metrics(test, path.parent / "evaluation.json", path)
    return test


@command
@hydra.main(version_base="1.3", config_path="configs", config_name="evaluate")
def main(cfg: DictConfig) -> None:
    """Print the metrics, and write them beside the checkpoint; or print what the checkpoint tells about its run."""
    if cfg.inspect:
        from kindling.checkpoints.load import find_checkpoint
        from kindling.runs.console import inspect

        inspect(find_checkpoint(cfg.inspect, cfg.paths.runs, "inspect"))
    else:
        evaluate(cfg)


if __name__ == "__main__":
    main()
