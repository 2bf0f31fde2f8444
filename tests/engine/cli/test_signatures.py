"""What a class takes and its file in configs/ does not list works without +, if its signature has it."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from commands import ROOT
from kindling.cli.check import check_arguments
from kindling.cli.signatures import accepts, described, parameters
from kindling.errors import UsageError
from pytorch_lightning import Trainer

UNLISTED = [
    *("trainer.overfit_batches=2", "trainer.overfit_batches=0.1", "trainer.max_time=00:01:00:00"),
    *("trainer.max_time={hours:1}", "trainer.fast_dev_run=true", "trainer.fast_dev_run=3", "trainer.min_epochs=null"),
    *("optimizer.eps=1e-6", "optimizer.betas=[0.9,0.95]", "optimizer.amsgrad=true"),
    *("task.loss.label_smoothing=0.1", "task.metrics.metrics.f1.average=macro", "task.metrics.prefix=a"),
    *(
        "callbacks.early_stopping.min_delta=0.01",
        "callbacks.checkpoint.save_top_k=2",
        "logger.tensorboard.log_graph=true",
    ),
    *("data.sampler={_target_:a.B,_partial_:true}", "trainer.plugins=[]"),
]


def checked(*arguments: str) -> list[str]:
    return check_arguments(ROOT / "train.py", list(arguments))


@pytest.mark.parametrize("override", UNLISTED)
def test_an_argument_that_the_file_does_not_list_is_added(override: str) -> None:
    assert checked("seed=1", override) == ["seed=1", f"++{override}"]


def test_every_argument_of_lightnings_trainer_is_known() -> None:
    assert set(inspect.signature(Trainer).parameters) <= set(parameters("kindling.training.trainer.build_trainer"))


def test_an_argument_is_added_in_a_sweep_and_beside_its_own_class() -> None:
    assert checked("-m", "optimizer.eps=1e-6,1e-8") == ["-m", "++optimizer.eps=1e-6,1e-8"]
    own = ["task=own", "task._target_=torch.nn.Linear", "task.in_features=3"]
    assert checked(*own) == [*own[:2], "++task.in_features=3"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("trainer.overfit_batches=abc", "trainer.overfit_batches=abc: expected a number"),
        ("trainer.fast_dev_run=maybe", "expected a whole number or true or false"),
        ("optimizer.eps=small", "optimizer.eps=small: expected a number"),
        ("optimizer.lr=null", "optimizer.lr=null: expected a number"),
        ("task.loss=null", "task.loss=null: expected a Module"),
        ("trainer.callbacks=null", "trainer.callbacks=null: expected a Sequence"),
        ("trainer.nonsense=1", "there is no option trainer.nonsense"),
        ("task.loss.label_smothing=0.1", "did you mean task.loss.label_smoothing?"),
    ],
)
def test_an_argument_is_checked_by_the_signature(override: str, expected: str) -> None:
    with pytest.raises(UsageError) as error:
        checked(override)
    assert expected in str(error.value)


class Base:
    def __init__(self, width: int, depth: int = 2) -> None:
        self.width, self.depth = width, depth


class Child(Base):
    def __init__(self, *args: Any, name: str = "a", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = name


class Grandchild(Child):
    pass


class Closed(Base):
    def __init__(self) -> None:
        super().__init__(3)


def make(rate: float, **options: Any) -> Base:
    return Child(**options)


def make_anything(rate: float, **options: Any) -> Any:
    return Child(**options)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("Base", {"width", "depth"}),
        ("Child", {"name", "width", "depth"}),
        ("Grandchild", {"name", "width", "depth"}),
        ("Closed", set()),
        ("make", {"rate", "width", "depth"}),
        ("make_anything", {"rate"}),
        ("nothing", set()),
    ],
)
def test_what_is_handed_on_is_followed(target: str, expected: set[str]) -> None:
    assert set(parameters(f"{__name__}.{target}")) == expected


def test_nothing_is_known_of_what_has_no_signature() -> None:
    assert parameters("builtins.dict") == parameters("nowhere.at_all") == {}


@pytest.mark.parametrize(
    ("annotation", "taken", "refused"),
    [
        (int, [3], [True, 0.5, "3", None, [3]]),
        (float, [3, 0.5], [True, "a", None]),
        (bool, [True], [1, "true"]),
        (str, ["a"], [3, None, ["a"]]),
        (Path, ["a"], [3]),
        (int | None, [3, None], ["a"]),
        (Literal["max", "min"], ["max"], ["most", 3]),
        (list[int], [[3]], [3, "a"]),
        (tuple[float, float], [[0.9, 0.95]], [0.9]),
        (Sequence[str] | str, ["a", ["a"]], [3]),
        (dict[str, int], [{"a": 1}], [[1], "a"]),
        (Callable[[], int], [{"_target_": "a.b"}], [3, "a"]),
        (Base, [{"_target_": "a.b"}, "${model}"], [3, "a", {"a": 1}]),
        (Any, [3, "a", None, [1], {"a": 1}], []),
        (inspect.Parameter.empty, [3, "a", None], []),
    ],
)
def test_values_are_held_against_annotations(annotation: Any, taken: list[Any], refused: list[Any]) -> None:
    parameter = inspect.Parameter("a", inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
    assert all(accepts(parameter, value) for value in taken)
    assert not any(accepts(parameter, value) for value in refused)


def test_a_default_is_always_taken_and_types_are_said_in_words() -> None:
    parameter = inspect.Parameter("a", inspect.Parameter.KEYWORD_ONLY, annotation=int, default=None)
    assert accepts(parameter, None)
    assert described(parameter) == "a whole number"
    assert described(parameter.replace(annotation=int | float | None)) == "a number or null"
