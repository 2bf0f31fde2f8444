"""Predict with a checkpoint.

python predict.py checkpoint=best input=new.csv output=predictions.csv
echo "Open a socket." | python predict.py checkpoint=best input=-
"""

import sys

import hydra
from omegaconf import DictConfig

from kindling.cli.command import command


@command
@hydra.main(version_base="1.3", config_path="configs", config_name="predict")
def main(cfg: DictConfig) -> None:
    """Write each row of the input with its prediction; a row that can't be read keeps its place and says why."""
    # Imported here, so that --help does not wait for torch.
    from kindling.checkpoints.find import find_checkpoint
    from kindling.checkpoints.predictor import Predictor
    from kindling.data.writers import check_output
    from kindling.errors import UsageError

    check_output(cfg.output)
    predictor = Predictor(find_checkpoint(cfg.checkpoint, cfg.paths.runs))
    counts = predictor.predict_file(cfg.input, cfg.output, cfg.column, cfg.batch_size, cfg.delimiter)
    if counts.total() and not counts[True]:
        raise UsageError(f"input={cfg.input}: none of its {counts.total()} rows got a prediction; each has its error")
    print(f"{counts.total()} rows, {counts[False]} of them without a prediction: {cfg.output}", file=sys.stderr)


if __name__ == "__main__":
    main()
