"""Commands that work, changed at random: a mistake is a line, leaves nothing behind, and nothing hangs.

A change is not to fail by luck: the seed is the same each time. `FUZZ=300 FUZZ_SEED=random pytest
tests/engine/cli/test_fuzz.py` tries more and others, as the weekly workflow does; it prints the seed, and
`FUZZ_SEED=<seed>` repeats it. What was found once stands in `FOUND`.
"""

import os
import random
import shlex
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from commands import Command, Result
from hypothesis import HealthCheck, given, note, seed, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("FUZZ", "24"))
LIMIT = 60  # seconds that a command may take

# One batch at most, no report, no logger: a mistake comes to light before or in the first step.
SHORT = "logger=[] callbacks=[checkpoint] trainer.max_steps=1 trainer.limit_val_batches=1 trainer.limit_test_batches=1"
COMMANDS = {
    "train": f"{{dataset}} model=bow {SHORT} seed=1 optimizer.lr=1e-3 data.batch_size=8 task.loss.label_smoothing=0.1",
    "make_dataset": "{dataset} seed=1",
    "evaluate": "checkpoint={trained} trainer.limit_test_batches=1",
    "predict": "checkpoint={trained} input={few} output={out} column=review batch_size=8",
    "compare": "{trained} metric=val/accuracy mode=max rows=3 output={compared}",
}
MORE = {
    "train": "monitor mode name_pattern name tags resume init rerun paths.run account user debug sweep launcher tune "
    "data.max_length data.dir data.text data.labels data.path data.folds data.fold data.num_workers data.pool "
    "data.tokens_per_batch model.hidden_size model.dropout model.vocab_size optimizer.weight_decay task.loss "
    "task.compiled trainer.precision trainer.gpus trainer.devices trainer.max_epochs trainer.log_every_n_steps "
    "trainer.accumulate_grad_batches trainer.gradient_clip_val trainer.reseed trainer.profiler trainer.callbacks "
    "trainer.overfit_batches checkpoint_io.load.exclude",
    "make_dataset": "data data.dir data.text data.label data.labels data.path data.url data.sha256 data.vocab_size",
    "evaluate": "report inspect seed logger callbacks trainer trainer.gpus trainer.precision",
    "predict": "data paths.runs",
    "compare": "runs paths.runs",
}
ODD = [
    *("", "null", "0", "-1", "-3", "3", "1e9", "0.5", "nan", "inf", "-inf", "true", "abc", ".", "..", "/proc/x", "~"),
    *("[]", "[1,2]", "[a", "{a:1}", "{}", "a,b", "1,2", "range(1,100000000)", "interval(0,1)", "choice(1)", "glob(*)"),
    *(
        "${seed}",
        "${nope}",
        "${oc.env:NOPE}",
        "'a b'",
        "'",
        '"',
        "a=b",
        "\u00e4\u4e2d",
        "\x1b[31m",
        "a" * 300,
        "/etc/passwd/x",
    ),
    *("data:", "-", "--", "auto", "best", "last", "max", "min", "cpu", "\\", "a.b.c", "%s", "???", "<b>"),
]
FOUND = [
    "predict {predict} +data=-1",
    "predict {predict} paths.runs=3",
    "compare {compare} paths.runs=3 runs=3",
    "evaluate {evaluate} trainer.limit_test_batches=0",
    "train {train} ++trainer.max_epochs={{}}",
    "train {train} task.loss=",
    "train {train} monitor=1e100",
    "make_dataset {make_dataset} data.dir=0",
    "train {train} monitor=${{seed}}",
    "train {train} data.folds=",
    "train {train} name_pattern=${{optimizer.lr}}",
]


Try = Callable[[str, list[str]], Result]


def mutations(command: str, lists: dict[str, list[str]]) -> st.SearchStrategy[list[str]]:
    """Return the arguments of a command with one or two changed or added, and one left out."""
    base = lists[command]
    keys = [*MORE[command].split(), *(line.partition("=")[0] for line in base if "=" in line)]
    values = st.sampled_from(ODD) | st.text(max_size=6)
    option = st.builds(lambda key, value: f"{key}={value}", st.sampled_from(keys), values)
    odd = st.builds(
        lambda line, change: change(line),
        option,
        st.sampled_from(
            [
                *[lambda line: line] * 24,  # mostly a value alone
                lambda line: f"+{line}",
                lambda line: f"++{line}",
                lambda line: f"~{line.partition('=')[0]}",
                lambda line: f"--{line}",
                lambda line: f"-{line}",
                lambda line: line.replace("=", " = "),
                lambda line: line.partition("=")[0],
                lambda line: line.partition("=")[2],
                lambda line: line.partition("=")[0][:-1] + "=" + line.partition("=")[2],
                lambda line: f"x.{line}",
                lambda line: line.replace("=", ".x="),
                lambda line: line.replace("=", "@x="),
                lambda line: line.replace("=", "=="),
            ]
        ),
    )
    more = st.lists(odd, min_size=1, max_size=2)
    dropped = st.sets(st.integers(0, max(0, len(base) - 1)), max_size=1)
    return st.builds(lambda out, added: [*(a for n, a in enumerate(base) if n not in out), *added], dropped, more)


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"still running after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def try_command(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Try:
    """Run a command in an empty folder, and look at how it ends."""
    work = tmp_path / "work"

    def attempt(name: str, arguments: list[str]) -> Result:
        shutil.rmtree(work, ignore_errors=True)
        for made in ("runs", "data"):
            shutil.rmtree(tmp_path / made, ignore_errors=True)
        work.mkdir()
        monkeypatch.chdir(work)
        before = files(tmp_path)
        with time_limit(LIMIT):
            result = command(name, *arguments)
        left = files(tmp_path) - before
        check(result, left, shlex.join([name, *arguments]))
        return result

    return attempt


def check(result: Result, left: set[Path], line: str) -> None:
    said = f"{line}\n{result.err[-3000:]}"
    assert "Traceback (most recent call last)" not in result.err, said
    assert result.code in (0, 2), said
    if result.code == 2:
        assert not left, (left, said)
        assert ".py: " in result.err or "usage: " in result.err, said
        assert "\x1b" not in result.err, said


@pytest.fixture
def lists(dataset: list[str], trained: Path, reviews: Path, tmp_path: Path) -> dict[str, list[str]]:
    """The commands that work, as lists of arguments."""
    few = tmp_path / "few.csv"
    few.write_text("".join(reviews.read_text(encoding="utf-8").splitlines(keepends=True)[:4]), encoding="utf-8")
    names = {"dataset": shlex.join(dataset), "trained": trained, "few": few}
    names |= {"out": tmp_path / "work" / "out.csv", "compared": tmp_path / "work"}
    return {name: shlex.split(line.format(**names)) for name, line in COMMANDS.items()}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_commands_that_are_changed_work(command: Command, lists: dict[str, list[str]], name: str) -> None:
    assert command(name, *lists[name]).code == 0


@pytest.mark.parametrize("line", FOUND)
def test_what_was_found_once_ends_in_a_line(try_command: Try, lists: dict[str, list[str]], line: str) -> None:
    name, *arguments = shlex.split(line.format(**{name: shlex.join(options) for name, options in lists.items()}))
    assert try_command(name, arguments).code == 2


def test_a_changed_command_ends_in_a_line(try_command: Try, lists: dict[str, list[str]]) -> None:
    given_seed = os.environ.get("FUZZ_SEED", "1")
    number = random.SystemRandom().randrange(2**32) if given_seed == "random" else int(given_seed)
    print(f"FUZZ_SEED={number} FUZZ={EXAMPLES} repeats this")

    @seed(number)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def attempt(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(["train"] * 4 + list(COMMANDS)))
        arguments = data.draw(mutations(name, lists))
        note(shlex.join([name, *arguments]))
        try_command(name, arguments)

    attempt()
