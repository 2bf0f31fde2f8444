"""Predict with a checkpoint.

python predict.py checkpoint=best input=new.csv output=predictions.csv
echo "Open a socket." | python predict.py checkpoint=best input=-
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import hydra
from omegaconf import DictConfig

from kindling.cli.command import command


def count_bad(rows: Iterable[dict[str, Any]], bad: Counter[bool]) -> Iterator[dict[str, Any]]:
    """Pass rows on, and count those with and without a prediction."""
    for row in rows:
        bad[row["prediction"] is None] += 1
        yield row


@command
@hydra.main(version_base="1.3", config_path="configs", config_name="predict")
def main(cfg: DictConfig) -> None:
    """Write each row of the input with its prediction; a row that can't be read keeps its place and says why."""
    # Imported here, so that --help does not wait for torch.
    from kindling.checkpoints.find import find_checkpoint
    from kindling.checkpoints.predictor import Predictor
    from kindling.data.progress import show_progress
    from kindling.data.readers import read_rows
    from kindling.data.writers import check_output, write_rows

    check_output(cfg.output)
    predictor = Predictor(find_checkpoint(cfg.checkpoint, cfg.paths.runs))
    predictions = predictor.predict(read_rows(cfg.input), cfg.column, cfg.batch_size)
    chunks = iter(lambda: list(islice(predictions, 1000)), [])
    bad: Counter[bool] = Counter()
    rows = count_bad(chain.from_iterable(chunks if cfg.output == "-" else show_progress(chunks, "rows")), bad)
    write_rows(cfg.output, rows)
    print(f"{bad.total()} rows, {bad[True]} of them without a prediction: {cfg.output}", file=sys.stderr)


if __name__ == "__main__":
    main()
