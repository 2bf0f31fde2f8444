"""Predict with a checkpoint.

python predict.py checkpoint=best input=new.csv output=predictions.csv
echo "Open a socket." | python predict.py checkpoint=best input=-
"""

import sys

import hydra
from omegaconf import DictConfig

from my_project.command import command


@command
@hydra.main(version_base="1.3", config_path="configs", config_name="predict")
def main(cfg: DictConfig) -> None:
    """Write each row of the input with its prediction; a row that can't be read keeps its place and says why."""
    # Imported here, so that --help does not wait for torch.
    from my_project.checkpoint import find_checkpoint
    from my_project.data.tables import check_output, read_rows, write_rows
    from my_project.predictor import Predictor

    check_output(cfg.output)
    predictor = Predictor(find_checkpoint(cfg.checkpoint, cfg.paths.runs))
    rows = list(predictor.predict(read_rows(cfg.input), cfg.column, cfg.batch_size))
    write_rows(cfg.output, rows)
    bad = sum(row["prediction"] is None for row in rows)
    print(f"{len(rows)} rows, {bad} of them without a prediction: {cfg.output}", file=sys.stderr)


if __name__ == "__main__":
    main()
