"""What people type from habit is answered with the one thing that it is here, and that works."""

import pytest
from commands import ROOT
from kindling.cli.check import check_additions, check_arguments
from kindling.cli.form import check_form
from kindling.cli.words import CHOICES, WORDS
from kindling.errors import UsageError

TYPED = [(command, word) for command, words in WORDS.items() for word in words]
TRIED = ["1", "true", "a"]  # numbers, switches, text
EXAMPLES = [
    ("train", "ckpt_path=a/last.ckpt", "resume=a/last.ckpt"),
    ("evaluate", "ckpt_path=a/last.ckpt", "checkpoint=a/last.ckpt"),
    ("predict", "ckpt_path=a/last.ckpt", "checkpoint=a/last.ckpt"),
    ("train", "resume_from_checkpoint=a", "resume=a"),
    ("train", "output_dir=out", "paths.run=out"),
    ("train", "paths.log_dir=out", "paths.runs=out"),
    ("train", "hparams_search=mnist_optuna", "-m sweep=search"),
    ("train", "epochs=3", "trainer.max_epochs=3"),
    ("train", "num_train_epochs=3", "trainer.max_epochs=3"),
    ("train", "learning_rate=1e-4", "optimizer.lr=1e-4"),
    ("train", "lr=1e-4", "did you mean optimizer.lr?"),
    ("train", "per_device_train_batch_size=8", "data.batch_size=8; the size is that of all processes together"),
    ("train", "compile=true", "task.compiled=true"),
    ("train", "train=false", "evaluate.py checkpoint=best"),
    ("train", "test=false", "trainer.limit_test_batches=0"),
    ("train", "local=me", "user=me"),
    ("train", "task_name=mine", "name=mine"),
    ("train", "optimized_metric=val/f1", "monitor=val/f1"),
    ("train", "fast_dev_run=true", "trainer.fast_dev_run=true"),
    ("train", "overfit_batches=2", "did you mean trainer.overfit_batches?"),
    ("train", "betas=[0.9,0.95]", "did you mean optimizer.betas?"),
    ("train", "trainer.max_epoch=2", "did you mean trainer.max_epochs?"),
    ("train", "trainer.detect_anomalies=true", "did you mean trainer.detect_anomaly?"),
    ("train", "callbacks.ema.decay=0.9", "+callbacks=ema adds"),
    ("train", "logger.wandb.project=a", "+logger=wandb adds"),
    ("train", "debug=fdr", "debug=fast"),
    ("train", "logger=many_loggers", "logger=[csv,tensorboard,wandb]"),
    ("evaluate", "split=val", "the test split is evaluated"),
    ("evaluate", "data=csv", "predict.py input=<file>"),
    ("predict", "input_file=a.csv", "input=a.csv"),
    ("make_dataset", "path=a.csv", "data=csv data.path=a.csv"),
    ("compare", "monitor=val/f1", "metric=val/f1"),
]
FORMS = [
    ("--epochs=3", "trainer.max_epochs=3"),
    ("--epochs 3", "trainer.max_epochs=3"),
    ("--resume auto", "resume=auto"),
    ("--trainer.max_epochs=3", "trainer.max_epochs=3"),
    ("--learning-rate 1e-4", "optimizer.lr=1e-4"),
    ("-model=bert", "model=bert"),
    ("-checkpoint=best", "resume=best; init=best begins with its weights alone"),
    ("-epochs 3", "trainer.max_epochs=3"),
    ("model = bert", "model=bert"),
    ("model =bert", "model=bert"),
    ("model= bert", "model=bert"),
    ("epochs = 3", "trainer.max_epochs=3"),
]
KEPT = [
    "--cfg job",
    "-c job",
    "-cjob",
    "--multirun seed=1,2",
    "-m seed=1,2",
    "--config-name rerun",
    "-cd=a",
    "--conf a",
]


def refused(command: str, *arguments: str) -> str:
    with pytest.raises(UsageError) as error:
        check_arguments(ROOT / f"{command}.py", list(arguments))
    return str(error.value)


@pytest.mark.parametrize(("command", "word"), TYPED)
def test_a_foreign_word_is_no_option_and_its_remedy_works(command: str, word: str) -> None:
    found = WORDS[command][word]
    assert found.said("7") in refused(command, f"{word}=7")
    if not found.options or "<" in found.options:
        return
    group = found.options.partition("=")[0]
    errors = []
    for value in [*TRIED, *(path.stem for path in (ROOT / "configs" / group).glob("*.yaml"))]:
        try:
            options = found.options.format(value).replace("user=", "account=")  # as `name_user` does
            check_arguments(ROOT / f"{command}.py", options.split())
            return
        except UsageError as error:
            errors.append(str(error))
    pytest.fail("\n".join(errors))


@pytest.mark.parametrize("choice", CHOICES)
def test_a_foreign_choice_is_none_here_and_its_remedy_works(choice: str) -> None:
    found = CHOICES[choice]
    assert found.said("") in refused("train", choice)
    check_arguments(ROOT / "train.py", found.options.split())


@pytest.mark.parametrize(("command", "typed", "expected"), EXAMPLES, ids=[typed for _, typed, _ in EXAMPLES])
def test_what_is_typed_from_habit_is_answered(command: str, typed: str, expected: str) -> None:
    answer = refused(command, typed)
    assert answer.startswith(f"{typed}: ")
    assert expected in answer


@pytest.mark.parametrize("typed", ["train=default", "nonsense=3", "trainer.nonsense=3", "model.train=true", "own=none"])
def test_no_guess_is_better_than_a_wrong_one(typed: str) -> None:
    assert "did you mean" not in refused("train", typed)


@pytest.mark.parametrize(("line", "expected"), FORMS)
def test_options_with_hyphens_and_spaces_are_written_right(line: str, expected: str) -> None:
    with pytest.raises(UsageError) as error:
        check_form("train", line.split())
    assert str(error.value).startswith(f"{line.replace(' =bert', ' = bert')}: use {expected}") or line == "model= bert"
    assert f"use {expected}" in str(error.value)


@pytest.mark.parametrize("line", KEPT)
def test_hydras_own_flags_are_kept(line: str) -> None:
    check_form("train", line.split())


def test_folders_need_no_name() -> None:
    check_form("compare", ["runs/", "metric=val/f1", "runs/x"], positional=True)


@pytest.mark.parametrize("choice", ["early_stopping", "checkpoint"])
def test_one_callback_in_the_place_of_all_is_asked_about(choice: str) -> None:
    with pytest.raises(UsageError, match="would leave out record") as error:
        check_additions(ROOT / "train.py", ["seed=1", f"callbacks={choice}"])
    assert f"+callbacks={choice} adds it" in str(error.value)
    assert f"callbacks=[{choice}] is it alone" in str(error.value)


@pytest.mark.parametrize(
    "argument", ["+callbacks=ema", "callbacks=[ema]", "callbacks=[]", "callbacks=nope", "logger=csv"]
)
def test_what_is_said_plainly_is_not_asked_about(argument: str) -> None:
    check_additions(ROOT / "train.py", [argument])
    check_additions(ROOT / "evaluate.py", ["callbacks=progress"])  # its default is one, too
