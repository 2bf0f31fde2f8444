"""Test a checkpoint.

python evaluate.py checkpoint=best                                     the best checkpoint of the newest run
python evaluate.py checkpoint=best report=true                         and draw its confusion matrix
python evaluate.py inspect=last                                        where training stood, and what is left
python evaluate.py checkpoint=best json=-                              its metrics as JSON (of inspect=, too)
"""

import hydra
from omegaconf import DictConfig

from kindling.cli.command import command
from kindling.json_output import json_output
from kindling.launch import answer


def evaluate(cfg: DictConfig) -> dict[str, float]:
    """Return the metrics of the checkpoint on the test split of the data that it was trained on."""
    from kindling.runs.console import write_metrics  # here, so that --help does not wait for torch
    from kindling.training.build import load

    data, task, trainer, checkpoint = load(cfg)
    metrics = dict(trainer.test(task, data, verbose=False)[0])
    write_metrics(metrics, checkpoint.parent / "evaluation.json", checkpoint)
    return metrics


@command
@hydra.main(version_base="1.3", config_path="configs", config_name="evaluate")
def main(cfg: DictConfig) -> None:
    """Print the metrics, and write them beside the checkpoint; or print what the checkpoint tells about its run."""
    with json_output(cfg.json) as found:
        found |= answer(evaluate, cfg)


if __name__ == "__main__":
    main()
