import base64
import csv
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import optuna
import pytest
import torch
import yaml
from commands import ROOT, run
from hydra import compose, initialize_config_dir
from kindling.cli.resolvers import register_resolvers
from kindling.sweeps.experiment import write_best
from kindling.sweeps.finish import report_search
from kindling.sweeps.trials import read_sweep
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import TrialState, create_trial

ACCURACY = {"val/accuracy": "max"}
TWO = {"val/accuracy": "max", "val/loss": "min"}
LR = FloatDistribution(1e-5, 1e-1, log=True)
MODEL = CategoricalDistribution(["bow", "lstm"])
TRIED = [{"optimizer.lr": 0.0123456789, "model": "bow"}, {"optimizer.lr": 1e-5, "model": "lstm"}]


@pytest.fixture(autouse=True)
def from_the_project(monkeypatch) -> None:
    monkeypatch.setenv("PROJECT_ROOT", str(ROOT))
    monkeypatch.setattr(sys, "argv", [str(ROOT / "train.py"), "-m", "sweep=tried", "name='<a>&'"])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    register_resolvers()


def new_study(folder: Path, objectives: dict[str, str] = ACCURACY) -> optuna.Study:
    folder.mkdir(parents=True, exist_ok=True)
    directions = [f"{mode}imize" for mode in objectives.values()]
    storage = JournalStorage(JournalFileBackend(str(folder / "study.log")))
    return optuna.create_study(storage=storage, directions=directions)


def add(study: optuna.Study, params: dict, values: list[float] | None, state=TrialState.COMPLETE, **told) -> None:
    """Add a trial without a run."""
    kinds = {"optimizer.lr": LR, "model": MODEL}
    spaces = {name: kinds.get(name, CategoricalDistribution([value])) for name, value in params.items()}
    study.add_trial(create_trial(params=params, distributions=spaces, values=values, state=state, **told))


def many(folder: Path, count: int, objectives: dict[str, str] = ACCURACY) -> optuna.Study:
    study = new_study(folder, objectives)
    for number in range(count):
        params = {"optimizer.lr": 10 ** (-1 - 4 * number / count), "model": ["bow", "lstm"][number % 2]}
        add(study, params, [0.5 + 0.3 * (number * 7 % count) / count, 0.1 * number][: len(objectives)])
    return study


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def rows_of(out: str) -> list[list[str]]:
    """Return the lines of the table on the screen."""
    return [line.split() for line in out.splitlines() if line.startswith("  ") and line.strip()]


@pytest.fixture(scope="session")
def fixed(dataset) -> list[str]:
    return [
        *dataset,
        "trainer.max_epochs=2",
        "logger=[csv]",
        "callbacks=[checkpoint]",
        "+trainer.detect_anomaly=true",
    ]


@pytest.fixture(scope="session")
def swept(fixed, tmp_path_factory) -> Path:
    """A sweep's folder: two jobs that have run, one that was pruned and one that failed."""
    folder = tmp_path_factory.mktemp("sweeps") / "tried"
    study = new_study(folder)
    for number, params in enumerate(TRIED):
        study.enqueue_trial(params)
        trial = study.ask({"optimizer.lr": LR, "model": MODEL})
        overrides = [*fixed, *(f"{key}={value}" for key, value in params.items())]
        assert run(folder, "train", *overrides, f"paths.run={folder / str(number)}") == 0
        trial.set_user_attr("seconds", 1.5)
        study.tell(trial, json.loads((folder / str(number) / "metrics.json").read_text())["val/accuracy"])
    pruned, failed, running = (study.ask({"optimizer.lr": LR, "model": MODEL}) for _ in range(3))
    pruned.report(0.25, 0)
    study.tell(pruned, state=TrialState.PRUNED)
    failed.set_user_attr("error", "ValueError: <b>bad</b>\nsecond line")
    (folder / "3").mkdir()
    (folder / "3" / "error.txt").write_text("Traceback")
    study.tell(failed, state=TrialState.FAIL)
    assert running.number == 4
    return folder


def load(folder: Path) -> optuna.Study:
    return optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(folder / "study.log"))))


def test_the_screen_shows_the_best_the_counts_and_the_failures(swept, fixed, tmp_path, capsys) -> None:
    assert report_search(swept, load(swept), ACCURACY, fixed, tmp_path / "best_of_tried.yaml") == 1
    out, err = capsys.readouterr()
    metrics = [json.loads((swept / job / "metrics.json").read_text()) for job in "01"]
    best = max((0, 1), key=lambda job: metrics[job]["val/accuracy"])
    rows = rows_of(out)
    assert rows[0] == ["trial", "optimizer.lr", "model", "val/accuracy", "test/accuracy", "time", "state"]
    lr, model = [("0.01235", "bow"), ("1e-05", "lstm")][best]
    numbers = [f"{metrics[best][name]:.4f}" for name in ("val/accuracy", "test/accuracy")]
    assert rows[1] == [str(best), lr, model, *numbers, "1.5", "s", "complete"]
    assert [row[-1] for row in rows[1:]] == ["complete", "complete", "pruned", "running"]
    assert "2 complete, 1 pruned, 1 failed, 1 running\n" in out
    assert (
        f"Best: trial {best}, val/accuracy {numbers[0]}  optimizer.lr={lr} model={model}  {swept / str(best)}\n" in out
    )
    assert "Train it: python train.py experiment=best_of_tried\n" in out
    assert err == f"Trial 3 failed: ValueError: <b>bad</b> second line; {swept}/3/error.txt\n"


def test_the_table_of_all_trials_has_every_digit(swept, fixed) -> None:
    report_search(swept, load(swept), ACCURACY, fixed, None)
    rows = table(swept)
    assert [row["state"] for row in rows] == ["complete", "complete", "pruned", "failed", "running"]
    assert [float(row["optimizer.lr"]) for row in rows[:2]] == [0.0123456789, 1e-5]
    for job in (0, 1):
        metrics = json.loads((swept / str(job) / "metrics.json").read_text())
        assert {name: float(rows[job][name]) for name in metrics} == metrics
    assert (rows[2]["val/accuracy"], rows[2]["last_value"]) == ("", "0.25")
    assert rows[3]["error"] == "ValueError: <b>bad</b> second line"


def test_a_file_of_the_users_is_not_replaced(swept, fixed, tmp_path, caplog) -> None:
    path = tmp_path / "best_of_tried.yaml"
    path.write_text("# @package _global_\n# mine\nseed: 1\n")
    sweep = read_sweep(swept, load(swept), ACCURACY, "")
    assert (best := sweep.best())
    assert not write_best(path, sweep, best, fixed)
    assert path.read_text().endswith("seed: 1\n")
    assert "best_of_tried.yaml is a file of yours" in caplog.text


def test_the_experiment_file_trains_the_best_trial_again(swept, fixed, command, tmp_path) -> None:
    report_search(swept, load(swept), ACCURACY, fixed, tmp_path / "configs/experiment/best_of_tried.yaml")
    best = load(swept).best_trial.number
    again = tmp_path / "again"
    paths = [f"paths.data={swept / 'data'}", f"paths.runs={swept / 'runs'}", f"paths.run={again}"]
    result = command("train", f"--config-dir={tmp_path / 'configs'}", "experiment=best_of_tried", *paths)
    assert result.code == 0, result.err
    assert json.loads((again / "metrics.json").read_text()) == json.loads(
        (swept / str(best) / "metrics.json").read_text()
    )
    old, new = (resolved_config(folder) for folder in (swept / str(best), again))
    assert old.replace(str(swept / str(best)), str(again)) == new


def resolved_config(run: Path) -> str:
    config = torch.load(run / "checkpoints/best.ckpt", weights_only=False)["config"]
    return json.dumps({key: value for key, value in config.items() if key != "overrides"})


def composed(*overrides: str) -> dict:
    with initialize_config_dir(version_base="1.3", config_dir=str(ROOT / "configs")):
        config = compose("train", list(overrides))
    config.overrides = None
    return OmegaConf.to_container(config)


@pytest.mark.parametrize(
    ("fixed", "params", "line"),
    [
        (["model=bow", "trainer.max_epochs=2"], {"optimizer.lr": 0.0013}, "model=bow optimizer.lr=0.0013"),
        (
            ["experiment=docstring_lines", "debug=fast", "trainer.max_epochs=7", "trainer.limit_val_batches=5"],
            {"optimizer.lr": 1e-5, "model": "lstm", "scheduler": "constant"},
            "experiment=docstring_lines debug=fast model=lstm scheduler=constant optimizer.lr=1e-5",
        ),
        (
            ["logger=[csv]", "callbacks=[]", "+trainer.a=[1,x,'b,c']", "++trainer.b={c: [{d: 1}, null]}", "~scheduler"],
            {"tags": "[1e-3,null,a]", "group": "null", "+model.new": "1e-3", "data.shuffle": "false"},
            "tags=[1e-3,null,a] group=null +model.new=1e-3 data.shuffle=false",
        ),
        (
            ["name='1e-3'", "group='null'", "optimizer={lr: 0.5}", "optimizer=sgd", "job_type='a: #b'", "seed=3"],
            {"+optimizer@second": "sgd", "second.lr": 2, "optimizer.momentum": "${seed}", "tags": "'it\\'s, [so]'"},
            "+optimizer@second=sgd second.lr=2 optimizer.momentum=${seed} tags='it\\'s, [so]'",
        ),
        (["paths.run=somewhere", "hydra.verbose=true", "resume=auto"], {"model": "bow"}, "model=bow"),
    ],
)
@pytest.mark.parametrize("job", [True, False], ids=["with its folder", "without its folder"])
def test_the_experiment_file_says_what_the_command_line_said(tmp_path, fixed, params, line, job) -> None:
    own = re.findall(r"(?:[^\s'\[]|'(?:[^'\\]|\\.)*'|\[[^\]]*\])+", line)
    study = new_study(tmp_path / "sweep")
    add(study, params, [0.5])
    if job:
        (tmp_path / "sweep/0/.hydra").mkdir(parents=True)
        (tmp_path / "sweep/0/.hydra/overrides.yaml").write_text(yaml.dump([*fixed, *own]))
    report_search(tmp_path / "sweep", study, ACCURACY, fixed, tmp_path / "configs/experiment/best.yaml")
    kept = [item for item in fixed if not item.startswith(("paths.run", "resume", "hydra"))]
    keys = {item.partition("=")[0] for item in own}
    expected = composed(*(item for item in kept if item.partition("=")[0] not in keys), *own)
    assert composed("experiment=best", f"hydra.searchpath=['{tmp_path / 'configs'}']") == expected


def test_text_that_the_grammar_does_not_take_is_kept_as_text(tmp_path) -> None:
    study = new_study(tmp_path / "sweep")
    add(study, {"name": "a, b: 'c' #d"}, [0.5])
    report_search(tmp_path / "sweep", study, ACCURACY, [], tmp_path / "configs/experiment/best.yaml")
    found = composed("experiment=best", f"hydra.searchpath=['{tmp_path / 'configs'}']")
    assert found["name"] == "a, b: 'c' #d"


@pytest.mark.parametrize("override", ["~optimizer.fused", "rerun=runs/1"])
def test_what_no_experiment_file_can_say_is_told(tmp_path, caplog, capsys, override: str) -> None:
    study = many(tmp_path / "sweep", 3)
    report_search(tmp_path / "sweep", study, ACCURACY, [override], tmp_path / "best.yaml")
    assert not (tmp_path / "best.yaml").exists()
    assert f"{override} can't be said in a file; repeat the trial with rerun=" in caplog.text
    assert "Train it" not in capsys.readouterr().out


def test_of_several_objectives_the_front_is_told(tmp_path, capsys) -> None:
    study = new_study(tmp_path / "sweep", TWO)
    for accuracy, loss in [(0.8, 0.5), (0.9, 0.7), (0.7, 0.9), (0.85, 0.6), (0.8, 0.8)]:
        add(study, {"optimizer.lr": accuracy / 100, "model": "bow"}, [accuracy, loss])
    assert report_search(tmp_path / "sweep", study, TWO, [], tmp_path / "best.yaml") == 0
    out = capsys.readouterr().out
    rows = rows_of(out)
    assert [row[:2] for row in rows[1:4]] == [["1", "*"], ["3", "*"], ["0", "*"]]
    assert [row[0] for row in rows[4:]] == ["4", "2"]
    assert "*: on the Pareto front" in out
    assert "Best: trial 1, val/accuracy 0.9000, val/loss 0.7000" in out
    assert yaml.safe_load((tmp_path / "best.yaml").read_text())["optimizer"] == {"lr": 0.9 / 100}
    assert [row["pareto"] for row in table(tmp_path / "sweep")] == ["True", "True", "False", "True", "False"]
    assert (tmp_path / "sweep/pareto.png").is_file()


def test_a_changed_space_is_one_option(tmp_path, capsys) -> None:
    study = many(tmp_path / "sweep", 6)
    for number in range(6):
        params = {"optimizer.lr": 0.01 * (number + 1), "model~2": ["bert", "bow"][number % 2]}
        spaces = {"optimizer.lr": LR, "model~2": CategoricalDistribution(["bert", "bow"])}
        study.add_trial(create_trial(params=params, distributions=spaces, value=0.9 + number / 100))
    report_search(tmp_path / "sweep", study, ACCURACY, [], tmp_path / "best.yaml")
    assert [row["model"] for row in table(tmp_path / "sweep")] == ["bow", "lstm"] * 3 + ["bert", "bow"] * 3
    assert "~2" not in capsys.readouterr().out
    assert yaml.safe_load((tmp_path / "best.yaml").read_text())["defaults"] == [{"override /model": "bow"}]
    assert {path.name for path in (tmp_path / "sweep").glob("*.png")} == {
        "history.png",
        "importances.png",
        "parallel.png",
    }


def nothing(study: optuna.Study) -> None:
    pass


def one(study: optuna.Study) -> None:
    add(study, {"optimizer.lr": 0.1, "model": "bow"}, [0.5])


def all_failed(study: optuna.Study) -> None:
    for _ in range(3):
        add(study, {"optimizer.lr": 0.1, "model": "bow"}, None, TrialState.FAIL)


def all_equal(study: optuna.Study) -> None:
    for number in range(3):
        add(study, {"optimizer.lr": 0.1 / (number + 1), "model": ["bow", "lstm"][number % 2]}, [0.5])


def one_option(study: optuna.Study) -> None:
    for number in range(3):
        add(study, {"optimizer.lr": 0.1 / (number + 1)}, [0.5 + number / 10])


def the_same_twice(study: optuna.Study) -> None:
    for value in (0.5, 0.6):
        add(study, {"optimizer.lr": 0.1, "model": "bow"}, [value])


def endless(study: optuna.Study) -> None:
    for number in range(4):
        add(study, {"optimizer.lr": 0.1 / (number + 1), "model": "bow"}, [float("inf")])


@pytest.mark.parametrize(
    ("fill", "drawn", "reason"),
    [
        (nothing, set(), "No history.png: fewer than two trials are complete"),
        (one, set(), "No parallel.png: fewer than two trials are complete"),
        (all_failed, set(), "No importances.png: fewer than two trials are complete"),
        (
            all_equal,
            {"history.png", "parallel.png"},
            "No importances.png: the complete trials have all reached the same",
        ),
        (one_option, {"history.png", "parallel.png"}, "No importances.png: fewer than two options vary"),
        (the_same_twice, {"history.png"}, "No parallel.png: no option varies"),
        (endless, set(), "No history.png: fewer than two trials are complete"),
    ],
)
def test_a_picture_that_says_nothing_is_left_out(tmp_path, capsys, fill, drawn, reason) -> None:
    study = new_study(tmp_path / "sweep")
    fill(study)
    failed = report_search(tmp_path / "sweep", study, ACCURACY, [], tmp_path / "best.yaml")
    assert failed == sum(trial.state is TrialState.FAIL for trial in study.trials)
    assert {path.name for path in (tmp_path / "sweep").glob("*.png")} == drawn
    out = capsys.readouterr().out
    assert f"{reason}\n" in out
    assert f'<p class="quiet">{reason}</p>' in (tmp_path / "sweep/report.html").read_text()
    assert ("Best: " in out) == (tmp_path / "best.yaml").is_file() == any(t.values for t in study.trials)


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_holds_everything(swept, fixed, tmp_path) -> None:
    report_search(swept, load(swept), ACCURACY, fixed, tmp_path / "best_of_tried.yaml")
    text = (swept / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert [name for name, attributes in page.tags if {"src", "href"} & attributes.keys()] == ["img"] * 3
    pictures = [attributes for name, attributes in page.tags if name == "img"]
    for picture in pictures:
        head, _, content = str(picture["src"]).partition(",")
        assert head == "data:image/png;base64"
        assert base64.b64decode(content) == (swept / f"{picture['alt']}.png").read_bytes()
    assert "http" not in re.sub(r"base64,[^\"]+", "", text)
    assert "python train.py -m sweep=tried 'name='\"'\"'<a>&'\"'\"''" in page.text
    assert "python train.py experiment=best_of_tried" in page.text
    assert "Trial 3: ValueError: <b>bad</b> second line" in page.text
    assert not {"b", "a", "script", "link"} & {name for name, _ in page.tags}
    assert [a["class"] for name, a in page.tags if name == "tr" and "class" in a] == [
        "best",
        "complete",
        "pruned",
        "running",
        "failed",
    ]


def test_options_that_do_not_fit_on_the_screen_are_named(tmp_path, capsys) -> None:
    study = new_study(tmp_path / "sweep")
    names = [f"callbacks.some_callback.with_a_long_option_{number}" for number in range(9)]
    for number in range(3):
        spaces = {name: FloatDistribution(0, 10) for name in names} | {"optimizer.lr": LR}
        params = {name: number / 2 for name in names} | {"optimizer.lr": 0.01 * (number + 1)}
        study.add_trial(create_trial(params=params, distributions=spaces, value=number))
    report_search(tmp_path / "sweep", study, ACCURACY, [], None)
    out = capsys.readouterr().out
    assert "Too wide for this screen, and in results.csv: " in out
    assert max(map(len, [line for line in out.splitlines() if line.startswith("  ")])) <= 160
    assert set(names) <= table(tmp_path / "sweep")[0].keys()
    assert (tmp_path / "sweep/parallel.png").is_file()


def test_a_report_does_not_wait_for_torch(tmp_path) -> None:
    many(tmp_path / "sweep", 12)
    program = f"""
import sys
from pathlib import Path
import optuna
from optuna.storages.journal import JournalFileBackend, JournalStorage
from kindling.sweeps.finish import report_search
storage = JournalStorage(JournalFileBackend({str(tmp_path / "sweep/study.log")!r}))
study = optuna.load_study(study_name=None, storage=storage)
folder = Path({str(tmp_path)!r})
report_search(folder / "sweep", study, {ACCURACY!r}, ["model=bow"], folder / "best.yaml")
assert "torch" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "src", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sweep/importances.png").is_file()
