"""A mistake of the user is told in one line and leaves nothing behind; one in the user's own code shows where it is."""

import shlex
import shutil
import sys
from pathlib import Path

import pytest
from commands import ROOT
from kindling.cli.check import check_arguments
from kindling.errors import UsageError

ON_THE_COMMAND_LINE = [
    # names
    ("train modle=bert", "modle=bert: there is no option modle; did you mean model?"),
    ("train model=brt", "model=brt: there is no such model; did you mean bert?"),
    ("train optimizer=rmsprop", "optimizer=rmsprop: there is no such optimizer; choose from adamw, sgd"),
    ("train callbacks=[checkpoint,progres]", "callbacks=progres: there is no such callback; did you mean progress?"),
    ("train lr=1e-3", "lr=1e-3: there is no option lr; did you mean optimizer.lr?"),
    ("train trainer.max_epoch=3", "there is no option trainer.max_epoch; did you mean trainer.max_epochs?"),
    ("train max_epochs=3", "there is no option max_epochs; did you mean trainer.max_epochs?"),
    ("make_dataset dta=csv", "dta=csv: there is no option dta; did you mean data?"),
    ("predict checkpoint=best inptu=a.csv", "there is no option inptu; did you mean input?"),
    ("evaluate chekpoint=best", "there is no option chekpoint; did you mean checkpoint?"),
    ("train {dataset} +trainer.foo=1", "trainer: Trainer.__init__() got an unexpected keyword argument 'foo'"),
    ("train {dataset} +optimizer.foo=1", "unexpected keyword argument 'foo'"),
    ("train {dataset} +model.foo=1 model=bow", "unexpected keyword argument 'foo'"),
    ("train {dataset} +data.foo=1", "unexpected keyword argument 'foo'"),
    ("train ~optimzer", "optimzer"),
    ("train seed", "seed: not of the form key=value"),
    ("train seed=[1", "seed=[1"),
    # values
    ("train optimizer.lr=abc", "optimizer.lr=abc: expected a number, such as 0.001"),
    ("train seed=1.5", "seed=1.5: expected a whole number, such as 42"),
    ("train data.shuffle=3", "data.shuffle=3: expected true or false"),
    ("train {dataset} trainer.gpus=99", "trainer.gpus=99: this machine has"),
    ("train {dataset} trainer.gpus=many", "trainer.gpus=many: expected auto or a number"),
    ("train {dataset} trainer.precision=foo", "trainer: Precision 'foo' is invalid"),
    ("train {dataset} mode=most", ": `mode` can be min, max but got most"),
    ("train {dataset} data.folds=5 data.fold=5", "data.folds=5 data.fold=5: use two folds or more"),
    ("train {dataset} data.batch_size=0", "data.batch_size=0"),
    ("train {dataset} data.max_length=2", "data.max_length=2"),
    ("train {dataset} seed=-1", "seed=-1: expected a whole number from 0 to 4294967295"),
    # sweeps
    ("train model=bow,lstm", "model=bow,lstm: several values make a sweep; add -m"),
    ("train -m model=brt,bow", "model=brt: there is no such model; did you mean bert?"),
    ("train -m trainer.max_epoch=1,2", "did you mean trainer.max_epochs?"),
    ("train -m model=glob(*) optimizer.lr=abc", "optimizer.lr=abc: expected a number"),
    ("train -m optimizer.lr=1e-3,abc", "optimizer.lr=abc: expected a number"),
    # data
    ("train data=csv data.path=nowhere.csv data.dir=.", "data.dir=.: no dataset lies in the current folder"),
    ("train data=csv data.path=nowhere.csv data.dir=''", "data.dir=: name a folder, such as data.dir=data/reviews"),
    ("train data=csv data.path=nowhere.csv", "this dataset was not made yet; run make_dataset.py"),
    ("train data=csv", "data.path: a value is missing; add data.path=... to the command"),
    ("train data=csv logger=wandb", "train.py: data.path: a value is missing; add data.path=... to the command"),
    ("make_dataset data=csv", "data.path: a value is missing; add data.path=... to the command"),
    ("make_dataset data=hub", "data.name: a value is missing; add data.name=... to the command"),
    ("make_dataset data=csv data.path=nowhere.csv", "nowhere.csv: no such file"),
    ("train {dataset} data.text=stars", "data.text=stars: {folder} was made with review; run make_dataset.py"),
    ("train {dataset} task=regression", "task=regression: the labels of this dataset are classes"),
    ("train {numbers}", "task=classification: the labels in {numbers_folder} are numbers; use task=regression"),
    ("train {dataset} data.labels=words", "data.labels=words: choose from classes, numbers"),
    # targets
    ("train {dataset} task=own", "task._target_: a value is missing"),
    ("train {dataset} task._target_=nope.Nope", "task._target_=nope.Nope: there is no module nope"),
    ("train {dataset} task._target_=my_project.lit.Lit", "=my_project.lit.Lit: there is no module my_project.lit"),
    (
        "train {dataset} task._target_=my_project.tasks.Klassification",
        "has no Klassification; did you mean Classification?",
    ),
    ("train {dataset} data._target_=kindling.data.file.TextFiel", "has no TextFiel; did you mean TextFile?"),
    # models
    ("train {dataset} model=bow model.vocab_size=3", "BagOfWords does not fit TextFile: an embedding is too small"),
    ("train {dataset} model=bow model.num_outputs=7", "BagOfWords does not fit TextFile: its output is of shape"),
    ("train {dataset} model.pretrained=nowhere/nothing", "model.pretrained=nowhere/nothing: no"),
    ("train {dataset} model=bow model.pretrained=a", "there is no option model.pretrained"),
    (
        "train {dataset} model.architecture.model_type=bret",
        "model_type=bret: Transformers has none of that name; did you mean bert?",
    ),
    ("train {dataset} model.architecture.num_attention_heads=3", "attention heads"),
    ("train {dataset} optimizer.lr=-1", "optimizer: Invalid learning rate: -1"),
    ("train {dataset} callbacks=early_stopping", "callbacks=early_stopping would leave out record, checkpoint, "),
    ("train {dataset} --epochs=3", "--epochs=3: use trainer.max_epochs=3"),
    ("train {dataset} -model=bert", "-model=bert: use model=bert, without hyphens and spaces"),
    ("train {dataset} model = bert", "model = bert: use model=bert, without hyphens and spaces"),
    ("train {dataset} optimizer.eps=small", "optimizer.eps=small: expected a number"),
    ("train {dataset} model=lstm model.num_layers=-2", "task.model: "),
    ("train rerun=a, seed=1", "rerun=a,: not of the form key=value"),
    ("train -m data.max_length=range(1,100000000)", "99999999 jobs, and a grid has at most 100000"),
    ("train -m data.max_length=range(1,9,0)", "data.max_length=range(1,9,0): a step of zero never ends"),
    ("train -m sweep=grid {dataset} data.max_length=range(1,100000000)", "99999999 jobs"),
    ("train -m sweep=search {dataset} data.max_length=range(1,1e8,0.5)", "interval(low,high) takes any between"),
    ("train {dataset} paths.run={reviews}", "{reviews}: File exists; choose another place"),
    ("train {dataset} paths.run=/tmp/{long}", "File name too long; choose another place"),
    ("predict checkpoint={trained} input={reviews} output={reviews}/a.csv", "{reviews}: "),
    # checkpoints
    ("evaluate", "checkpoint: a value is missing; add checkpoint=... to the command"),
    ("evaluate checkpoint=missing.ckpt", "checkpoint=missing.ckpt: no such checkpoint"),
    ("evaluate checkpoint=best", "checkpoint=best: no run in"),
    ("evaluate checkpoint={reviews}", "checkpoint={reviews}: not a checkpoint that can be opened"),
    ("predict checkpoint={weights} input={reviews}", "checkpoint={weights}: not a checkpoint"),
    ("predict checkpoint=missing.ckpt input={reviews}", "checkpoint=missing.ckpt: no such checkpoint"),
    ("predict checkpoint={trained}", "input: a value is missing; add input=... to the command"),
    ("predict checkpoint={trained} input=nowhere.csv", "nowhere.csv: no such file"),
    ("predict checkpoint={trained} input={reviews} output=a.docx", "output=a.docx: can't write that"),
    ("predict checkpoint={trained} input={reviews} column=reviw", "no column 'reviw'"),
    ("predict checkpoint={trained} input={reviews} batch_size=0", "batch_size=0"),
]


# Refused by the names, the defaults and the signatures alone.
CHECKED = [
    ("train model=bow model.hidden_size=0", "model.hidden_size=0: expected 1 or more"),
    ("train model=bow model.hidden_size=-3", "model.hidden_size=-3: expected 1 or more"),
    ("train model=bow model.dropout=nan", "model.dropout=nan: expected a number"),
    ("train task.loss=null", "task.loss=null: expected a Module"),
    ("train trainer.callbacks=null", "trainer.callbacks=null: expected a Sequence"),
    ("train mode=${oc.env:NOPE}", "mode=${oc.env:NOPE}: expected the environment to have NOPE"),
    ("train mode=${nope}", "mode=${nope}: expected an option nope, which there is not"),
    ("train seed=null", "seed=null: expected a value, such as 42"),
    ("train data.seed=null", "data.seed=null: expected a whole number"),
    ("train data.dir=null", "data.dir=null: expected text"),
    ("train monitor=null", "monitor=null: expected a value, such as val/accuracy"),
    ("train name_pattern=null", "name_pattern=null: expected a value"),
    ("train paths.run=null", "paths.run=null: expected a value"),
    ("train paths.runs=null", "paths.runs=null: expected a value"),
    ("train optimizer.lr=null", "optimizer.lr=null: expected a number"),
    ("train tags={a:1}", "tags={'a': 1}: expected a list, such as tags=[a]"),
    ("train tags=baseline", "tags=baseline: expected a list, such as tags=[baseline]"),
    ("train init=3.5", "init=3.5: expected a file or a folder; ./3.5 is one of that name"),
    ("train init=[1]", "init=[1]: expected one value"),
    ("train ~optimizer", "~optimizer: train.py can't do without it: task.optimizer is ${optimizer}"),
    ("train ~model", "~model: train.py can't do without it"),
    ("train ~data", "~data: train.py can't do without it"),
    ("train ~trainer", "~trainer: train.py can't do without it"),
    ("train callbacks=[nope]", "callbacks=nope: there is no such callback; choose from batches, checkpoint, early"),
    ("train logger=null", "logger=null: use logger=[]"),
    ("train optimizer=null", "optimizer=null: there is no such optimizer; choose from adamw, sgd"),
    ("train trainer=ddp_gpu", "did you mean ddp"),
    ("evaluate checkpoint=null", "checkpoint=null: expected a value"),
    ("evaluate inspect=0", "inspect=0: expected 1 or more, where it is the number of an epoch"),
    ("evaluate checkpoint=true", "checkpoint=true: expected a file or a folder"),
    ("evaluate inspect=[1,2]", "inspect=[1, 2]: expected one value"),
    ("predict input=null", "input=null: expected a value"),
    ("compare metric=[a]", "metric=['a']: expected one value"),
]


def option(options: list[str], name: str) -> str:
    return next(item.partition("=")[2] for item in options if item.startswith(f"{name}="))


@pytest.fixture
def names(data_of, trained, reviews, tmp_path) -> dict[str, str]:
    """What the command lines above call {dataset}, {trained}, ..."""
    import torch

    torch.save({"weight": torch.zeros(2)}, tmp_path / "weights.ckpt")
    classes, numbers = data_of("classes"), data_of("numbers")
    return {
        "dataset": shlex.join(classes),
        "folder": option(classes, "data.dir"),
        "numbers": shlex.join(numbers),
        "numbers_folder": option(numbers, "data.dir"),
        "trained": str(trained),
        "reviews": str(reviews),
        "long": "a" * 300,
        "weights": str(tmp_path / "weights.ckpt"),
    }


@pytest.mark.parametrize(("line", "expected"), ON_THE_COMMAND_LINE, ids=[line for line, _ in ON_THE_COMMAND_LINE])
def test_a_mistake_on_the_command_line_is_one_line_and_writes_nothing(command, names, tmp_path, line, expected) -> None:
    before = sorted(tmp_path.rglob("*"))
    result = command(*shlex.split(line.format(**names)))
    assert expected.format(**names) in result.err
    assert result.err.count("\n") == 1, result.err
    assert result.err.startswith(f"{line.split()[0]}.py: ")
    assert result.code == 2
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("line", "expected"), CHECKED, ids=[line for line, _ in CHECKED])
def test_a_value_that_an_option_cannot_have_is_refused_before_anything_runs(line: str, expected: str) -> None:
    command, *arguments = line.split()
    with pytest.raises(UsageError) as error:
        check_arguments(ROOT / f"{command}.py", arguments)
    assert expected in str(error.value)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-m", "model=glob(b*)", "seed=range(1,3)"],
        ["callbacks=[]", "logger=[csv]", "seed=1"],
        ["callbacks=[checkpoint]", "+new.option=a", "~tags", "name_pattern=${new.option}"],
        ["trainer.gpus=2", "trainer.precision=16", "name=3", "group=3", "trainer.strategy={_target_:a.B}"],
        ["~callbacks.progress", "seed=0", "trainer.max_epochs=null", "tags=[a]", "data.text=[title,body]", "data=csv"],
        ["optimizer.lr=${oc.env:HOME}", "mode=${oc.env:NOWHERE,max}", "+callbacks=ema", "callbacks.ema.decay=0.9"],
        ["hydra.verbose=true", "optimizer.lr=${seed}"],
    ],
    ids=" ".join,
)
def test_what_hydra_can_do_is_no_mistake(arguments: list[str]) -> None:
    check_arguments(ROOT / "train.py", arguments)


def test_a_folder_of_ones_own_configs_is_searched_too(command, dataset, tmp_path) -> None:
    (tmp_path / "configs" / "model").mkdir(parents=True)
    small = (ROOT / "configs/model/bow.yaml").read_text().replace("hidden_size: 128", "hidden_size: 8")
    (tmp_path / "configs/model/small.yaml").write_text(small)
    result = command("train", *dataset, f"--config-dir={tmp_path / 'configs'}", "model=small", "debug=fast")
    assert result.code == 0, result.err


def test_typos_beside_a_folder_of_ones_own_configs_are_one_line(command, tmp_path) -> None:
    folder = tmp_path / "my configs"
    (folder / "model").mkdir(parents=True)
    shutil.copy(ROOT / "configs/model/bow.yaml", folder / "model/small.yaml")
    (folder / "mine").mkdir()
    (folder / "mine/a.yaml").write_text("b: 1\n")
    for options, expected in (
        (
            ["model=small", "model.hidden_siz=8"],
            "model.hidden_siz=8: there is no option model.hidden_siz; did you mean",
        ),
        (["model=small", "trainer.max_epochs=many"], "trainer.max_epochs=many: expected a whole number, such as 8"),
        (["model=smal"], "model=smal: there is no such model; did you mean small?"),
        (["model=small", "+mine=c"], "mine=c: there is no such mine; choose from a"),
        (["-m", "model=small,bow", "optimizer.lr=x"], "optimizer.lr=x: expected a number"),
    ):
        for flag in ([f"--config-dir={folder}"], ["--config-dir", str(folder)], ["-cd", str(folder)]):
            result = command("train", *flag, *options)
            assert result.code == 2 and len(result.err.splitlines()) == 1 and expected in result.err, result.err
    checked = check_arguments(ROOT / "train.py", ["--config-dir", str(folder), "model=small", "optimizer.eps=1e-6"])
    assert checked[-1] == "++optimizer.eps=1e-6"
    check_arguments(ROOT / "train.py", [f"--config-dir={folder}", "+mine=a", "model=small"])


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("size: 1\n more: [\n", "configs/model/odd.yaml, line 2, column 6: mapping values are not allowed"),
        ("size: 1\nsize: 2\n", "configs/model/odd.yaml, line 2, column 1: found duplicate key size"),
        ("size: \0\n", "control characters are not allowed"),
        ("size: 1\n".encode("utf-16"), "not in UTF-8 (invalid start byte at byte 0); save it in UTF-8"),
    ],
)
def test_a_config_that_cannot_be_read_is_named_in_one_line(command, tmp_path, written: str | bytes, expected) -> None:
    (tmp_path / "configs" / "model").mkdir(parents=True)
    content = written.encode() if isinstance(written, str) else written
    (tmp_path / "configs/model/odd.yaml").write_bytes(content)
    result = command("train", f"--config-dir={tmp_path / 'configs'}", "model=odd")
    assert result.code == 2
    (line,) = result.err.splitlines()
    assert line.startswith("train.py: ")
    assert "configs/model/odd.yaml" in line and expected in line


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model=bow model.dropout=7", "task.model: dropout probability has to be between 0 and 1, but got 7"),
        ("monitor=val/acc", "monitor=val/acc: there is no such metric; did you mean val/accuracy?"),
        ("monitor=test/nothing", "monitor=test/nothing: there is no such metric; choose from train/loss, val/accuracy"),
        ("trainer.max_epochs=-1", "trainer.max_epochs=-1: this scheduler has to know where training ends"),
    ],
)
def test_a_mistake_that_training_meets_later_is_one_line_too(command, dataset, override, expected) -> None:
    result = command("train", *dataset, "debug=fast", "logger=[]", "callbacks=[checkpoint]", *override.split())
    assert expected in result.err.splitlines()[-1]
    assert "Traceback" not in result.err
    assert result.code == 2


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder that not even root may write to")
def test_a_folder_that_nobody_may_write_to_is_told_in_one_line(command, reviews) -> None:
    options = ["data=csv", f"data.path={reviews}", "data.text=review", "data.label=stars"]
    result = command("make_dataset", *options, "data.dir=/sys/kernel/made")
    assert result.code == 2
    assert "Permission denied" in result.err.splitlines()[-1] or "not permitted" in result.err.splitlines()[-1]
    assert "Traceback" not in result.err


MODEL = """\
from torch import nn


class Mine(nn.Module):
    def __init__(self, num_outputs, vocab_size, **options):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, num_outputs)
        {constructor}

    def forward(self, input_ids, attention_mask):
        output = self.embedding(input_ids).mean(dim=1)
        {forward}
        return output
"""


@pytest.fixture
def own_model(tmp_path, monkeypatch):
    """Write a model with these lines in its constructor and in forward(), and return the option that chooses it."""

    def write(constructor: str = "", forward: str = "") -> list[str]:
        folder = tmp_path / "own"
        folder.mkdir()
        (folder / "mine.py").write_text(MODEL.format(constructor=constructor, forward=forward))
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, "mine", raising=False)
        return ["model=bow", "model._target_=mine.Mine"]

    return write


def test_a_model_of_ones_own_trains(command, dataset, own_model) -> None:
    result = command("train", *dataset, *own_model(), "debug=fast", "logger=[csv]")
    assert result.code == 0, result.err


@pytest.mark.parametrize(
    ("mistake", "error"),
    [
        ("raise ValueError('mine')", "ValueError: mine"),
        ("nn.Linear('wide', 3)", "TypeError: "),
        ("[][0]", "IndexError: list index out of range"),
        ("int()()", "TypeError: 'int' object is not callable"),
    ],
)
@pytest.mark.parametrize(("place", "line"), [("constructor", 8), ("forward", 12)])
def test_a_mistake_in_ones_own_model_shows_its_traceback(
    command, dataset, own_model, tmp_path, place: str, line: int, mistake: str, error: str
) -> None:
    result = command("train", *dataset, *own_model(**{place: mistake}), "debug=fast", "logger=[csv]")
    assert result.err.startswith("Traceback (most recent call last):")
    assert f'File "{tmp_path / "own" / "mine.py"}", line {line}' in result.err
    assert error in result.err.splitlines()[-1]
    assert result.code == 1


def test_hydras_own_switch_shows_everything(command, dataset, monkeypatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(Exception, match="this machine has"):
        command("train", *dataset, "trainer.gpus=99")
