"""The CSV file of a run is whole after a crash and goes on when the run does."""

import csv
import os
from pathlib import Path
from typing import Any

import pytest
from kindling.cli.mistakes import keep_traceback
from kindling.loggers.csv import CSVLogger
from pytorch_lightning.loggers import CSVLogger as LightningCSVLogger


def read(folder: Path) -> list[dict[str, str]]:
    with (folder / "csv/metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(None not in row and None not in row.values() for row in rows)
    return [{name: value for name, value in row.items() if value} for row in rows]


def log(logger: Any, *steps: int, name: str = "loss") -> None:
    for step in steps:
        logger.log_metrics({name: step / 2}, step)
        logger.save()


def rows(*steps: int, name: str = "loss") -> list[dict[str, str]]:
    return [{"step": str(step), name: str(step / 2)} for step in steps]


def test_every_row_is_on_the_disk_at_once(tmp_path) -> None:
    logger = CSVLogger(str(tmp_path))
    log(logger, 0)
    assert read(tmp_path) == rows(0)
    logger.log_metrics({"loss": 0.5}, 1)  # as Lightning does, which then calls save() at its own pace
    assert read(tmp_path) == rows(0, 1)


def test_a_new_column_keeps_the_rows_of_before(tmp_path) -> None:
    logger = CSVLogger(str(tmp_path))
    log(logger, 0, 1)
    log(logger, 2, name="accuracy")
    log(logger, 3)
    assert read(tmp_path) == rows(0, 1) + rows(2, name="accuracy") + rows(3)
    assert [path.name for path in (tmp_path / "csv").iterdir()] == ["metrics.csv"]


def test_another_logger_goes_on_with_the_file_where_that_of_lightning_deletes_it(tmp_path) -> None:
    log(CSVLogger(str(tmp_path)), 0, 1)
    log(CSVLogger(str(tmp_path)), 2, name="accuracy")
    assert read(tmp_path) == rows(0, 1) + rows(2, name="accuracy")
    with pytest.warns(UserWarning, match="exists and is not empty"):
        stock = LightningCSVLogger(str(tmp_path), "csv", "")
        log(stock, 3)
    assert read(tmp_path) == rows(3)


def test_rows_of_steps_that_are_made_again_are_forgotten(tmp_path) -> None:
    logger = CSVLogger(str(tmp_path))
    log(logger, 0, 1, 2)
    log(logger, 3, name="late")
    again = CSVLogger(str(tmp_path))
    again.rewind(2)
    assert read(tmp_path) == rows(0, 1)
    log(again, 2)
    assert read(tmp_path) == rows(0, 1, 2)
    assert (tmp_path / "csv/metrics.csv").read_text().startswith("loss,step\n")
    again.rewind(0)
    log(again, 0, name="new")
    assert read(tmp_path) == rows(0, name="new")


def test_a_row_that_a_resumed_run_logs_once_more_is_kept_once(tmp_path) -> None:
    log(CSVLogger(str(tmp_path)), 0, 1)
    again = CSVLogger(str(tmp_path))
    again.rewind(2)  # the row of step 1 may come again, from the end of the epoch
    log(again, 1)
    assert read(tmp_path) == rows(0, 1)
    log(again, 1, name="other")
    assert read(tmp_path) == [*rows(0), rows(1)[0] | rows(1, name="other")[0]]


def test_what_is_logged_of_a_step_stands_in_one_row(tmp_path) -> None:
    logger = CSVLogger(str(tmp_path))
    for step in range(3):
        log(logger, step, name="first")
        log(logger, step, name="second")
        log(logger, step, name="first")
    both = [rows(step, name="first")[0] | rows(step, name="second")[0] for step in range(3)]
    assert read(tmp_path) == both
    logger.log_metrics({"first": 1.0}, 2)
    logger.log_metrics({"first": -0.25, "second": 0.125}, 2)  # a longer row, then a shorter one
    logger.log_metrics({"second": 1.0}, 2)
    assert read(tmp_path) == [*both[:2], {"step": "2", "first": "-0.25", "second": "1.0"}]
    log(CSVLogger(str(tmp_path)), 3, name="second")
    assert read(tmp_path)[2:] == [{"step": "2", "first": "-0.25", "second": "1.0"}, *rows(3, name="second")]


def test_what_is_logged_amid_an_epoch_has_a_file_of_its_own(tmp_path) -> None:
    logger = CSVLogger(str(tmp_path))
    logger.log_metrics({"lr-SGD": 0.1}, 0)
    log(logger, 1)
    logger.amid_epoch = lambda: True
    log(logger, 0, 1, 2, name="train")
    assert read(tmp_path) == rows(1)
    steps = (tmp_path / "csv/steps.csv").read_text().splitlines()
    assert steps == ["lr-SGD,step,train", "0.1,0,0.0", ",1,0.5", ",2,1.0"]
    again = CSVLogger(str(tmp_path))
    again.rewind(1)
    assert (tmp_path / "csv/steps.csv").read_text().splitlines() == steps[:2]


def test_a_line_that_was_cut_off_is_left_out(tmp_path) -> None:
    log(CSVLogger(str(tmp_path)), 0, 1)
    with (tmp_path / "csv/metrics.csv").open("a") as file:
        file.write("12.5")
    again = CSVLogger(str(tmp_path))
    again.rewind(2)
    log(again, 2)
    assert read(tmp_path) == rows(0, 1, 2)


def test_values_with_commas_and_quotes_come_back(tmp_path) -> None:
    logger = CSVLogger(str(tmp_path))
    logger.log_metrics({'a "name", with': 0.5}, 0)
    logger.save()
    assert read(tmp_path) == [{"step": "0", 'a "name", with': "0.5"}]


def test_a_file_of_somebody_else_beside_it_stays(tmp_path) -> None:
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv/metrics.csv.new").write_text("mine")
    logger = CSVLogger(str(tmp_path))
    logger.log_metrics({"a": 1.0}, 1)
    logger.save()
    logger.log_metrics({"b": 1.0}, 2)
    logger.save()
    assert {path.name for path in (tmp_path / "csv").iterdir()} == {"metrics.csv", "metrics.csv.new"}
    assert (tmp_path / "csv/metrics.csv.new").read_text() == "mine"


def test_a_traceback_is_there_whole_or_not_at_all(tmp_path) -> None:
    (tmp_path / "error.txt").write_text("an earlier one")
    os.link(tmp_path / "error.txt", tmp_path / "kept")
    keep_traceback(ValueError("new"), tmp_path)
    assert (tmp_path / "error.txt").read_text() == "ValueError: new\n"
    assert (tmp_path / "kept").read_text() == "an earlier one"  # it was replaced, and not written to
