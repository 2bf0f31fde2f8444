"""A checkpoint is data: whatever its file says, none of it runs anything, and each attempt is refused in one line."""

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plain
import pytest
import torch
from commands import ROOT, Command
from hydra.utils import instantiate
from interruption import same
from kindling.checkpoints.find import newest_checkpoint
from kindling.checkpoints.io import read
from kindling.checkpoints.kinds import find
from kindling.checkpoints.load import load_data, load_task
from kindling.checkpoints.trust import build
from kindling.errors import UsageError
from kindling.project import trust
from kindling.runs.foreign import check_config, check_overrides
from torch import nn

OWNED = "OWNED"  # in an attack: a file that is there when it has succeeded
Node = dict[str, Any]

# What is put in the place of the loss.
TARGETS: list[Node] = [
    # functions of Python, and of what modules have imported
    {"_target_": "os.system", "_args_": [f"touch {OWNED}"]},
    {"_target_": "builtins.exec", "_args_": [f"open('{OWNED}', 'w')"]},
    {"_target_": "builtins.open", "_args_": [OWNED, "w"]},
    {"_target_": "shutil.copy", "src": "/etc/hostname", "dst": OWNED},
    {"_target_": "pathlib.Path.touch", "_args_": [{"_target_": "pathlib.Path", "_args_": [OWNED]}]},
    {"_target_": "subprocess.Popen", "args": ["touch", OWNED]},
    {"_target_": "runpy.run_path", "path_name": "/etc/hostname"},
    {"_target_": "importlib.import_module", "name": "antigravity"},
    {"_target_": "antigravity.fly"},
    {"_target_": "functools.partial", "_args_": ["os.system", f"touch {OWNED}"]},
    {"_target_": "operator.methodcaller", "_args_": ["system", f"touch {OWNED}"]},
    {"_target_": "kindling.checkpoints.io.struct.unpack", "_args_": ["b", b"x".decode()]},
    {"_target_": "kindling.checkpoints.load.logging.os.system", "_args_": [f"touch {OWNED}"]},
    {"_target_": "torch.nn.modules.module.warnings.warn", "_args_": ["owned"]},
    {"_target_": "torch.nn.functional.math.os.system", "_args_": [f"touch {OWNED}"]},
    # of Hydra, which looks names up by itself
    {"_target_": "hydra.utils.instantiate", "config": {"_target_": "os.system", "_args_": [f"touch {OWNED}"]}},
    {"_target_": "hydra.utils.call", "_args_": [{"_target_": "os.system", "command": f"touch {OWNED}"}]},
    {"_target_": "hydra.utils.get_method", "path": "os.system"},
    {"_target_": "hydra.utils.get_object", "path": "os.system"},
    # of torch and Lightning
    {"_target_": "torch.load", "f": OWNED, "weights_only": False},
    {"_target_": "torch.hub.load", "repo_or_dir": "somebody/something", "model": "model"},
    {"_target_": "torch.hub.download_url_to_file", "url": "file:///etc/hostname", "dst": OWNED},
    {"_target_": "torch.save", "obj": {}, "f": OWNED},
    {"_target_": "torch.jit.load", "f": OWNED},
    {"_target_": "torch.nn.Module.load_state_dict"},
    {"_target_": "torch.optim.Optimizer.load_state_dict"},
    {"_target_": "torch.utils.cpp_extension.load", "name": "x", "sources": [OWNED]},
    {"_target_": "pytorch_lightning.LightningModule.load_from_checkpoint", "checkpoint_path": OWNED},
    {"_target_": "pytorch_lightning.callbacks.LambdaCallback"},
    {"_target_": "pytorch_lightning.Trainer", "default_root_dir": OWNED},
    {"_target_": "torchmetrics.image.fid.FrechetInceptionDistance", "feature_extractor_weights_path": OWNED},
    {"_target_": "torchmetrics.multimodal.clip_score.CLIPScore", "model_name_or_path": "somebody/something"},
    {"_target_": "torchmetrics.text.bert.BERTScore", "model_name_or_path": "somebody/something"},
    # of Transformers
    {"_target_": "transformers.AutoConfig.from_pretrained", "trust_remote_code": True, "_args_": ["somebody/else"]},
    {"_target_": "transformers.AutoModel.from_pretrained", "_args_": ["somebody/something"]},
    {"_target_": "transformers.pipeline", "task": "fill-mask", "model": "somebody/something"},
    {"_target_": "transformers.utils.import_utils.direct_transformers_import", "path": "/tmp", "file": OWNED},
    {"_target_": "transformers.dynamic_module_utils.get_class_from_dynamic_module"},
    # of the engine and of the project, which is trusted for its classes
    {"_target_": "kindling.sweeps.launchers.local.be_job", "_args_": [OWNED]},
    {"_target_": "kindling.runs.origin._git", "_args_": ["-c", f"alias.x=!touch {OWNED}", "x"]},
    {"_target_": "kindling.runs.start.remove_empty", "_args_": [OWNED]},
    {"_target_": "kindling.data.writers.write_rows", "_args_": [OWNED, [{"a": 1}]]},
    {"_target_": "kindling.data.file.download", "url": "file:///etc/hostname", "path": OWNED},
    {"_target_": "kindling.files.new_folder", "_args_": [OWNED]},
    {"_target_": "kindling.project.trust", "_args_": ["os"]},
    {"_target_": "kindling.trust", "_args_": ["os"]},
    {"_target_": "kindling.checkpoints.io.read", "path": OWNED},
    {"_target_": "kindling.checkpoints.io.CheckpointIO"},
    {"_target_": "kindling.checkpoints.predictor.Predictor", "checkpoint": OWNED},
    {"_target_": "kindling.runs.record.Record", "dirpath": OWNED},
    {"_target_": "kindling.testing.preload.import_module", "_args_": ["antigravity"]},
    {"_target_": "kindling.build_trainer", "default_root_dir": OWNED},
    {"_target_": "my_project.tasks.Classification.load_from_checkpoint", "checkpoint_path": OWNED},
    {"_target_": "my_project.data.docstrings.Path", "_args_": [OWNED]},
    {"_target_": "my_project.data.docstrings.ast.literal_eval", "_args_": ["1"]},
    {"_target_": "my_project.data.docstrings._docstrings", "_args_": [OWNED]},
    {"_target_": "my_project.schedulers.warmup", "optimizer": None, "total_steps": 1},  # called, not bound
    {"_target_": "my_project.tasks.Task.__init__"},
    {"_target_": "my_project.tasks.Task.__class__.__subclasses__"},
    # what is no name
    {"_target_": "${oc.env:HOME}"},
    {"_target_": "os"},
    {"_target_": ".system"},
    {"_target_": "os..system"},
    {"_target_": "os.system\x1b[2J"},
    {"_target_": ["os.system"]},
    {"_target_": {"_target_": "os.system"}},
    {"_target_": None},
]


def deep(node: Any) -> Node:
    """A trusted class around a node."""
    return {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "torch.nn.Identity", "a": [{"b": node}]}]}


COPY = f"{{_target_: shutil.copy, src: /etc/hostname, dst: {OWNED}}}"
RUN = {"_target_": "os.system", "_args_": [f"touch {OWNED}"]}
ARCHITECTURE = {"model_type": "bert", "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1}


def transformer(**architecture: Any) -> Node:
    name = "my_project.models.transformer.Transformer"
    return {"_target_": name, "num_outputs": 3, "architecture": ARCHITECTURE | architecture}


# What is put in the place of an argument of the model, or of the model itself.
ARGUMENTS: dict[str, Any] = {
    "interpolation": f"${{oc.create:{COPY}}}",
    "nested interpolation": f"${{oc.select:nothing,{COPY}}}",
    "of the environment": "${oc.env:HOME}",
    "decoded": f"${{oc.decode:'{COPY}'}}",
    "in a list": [["${oc.create:{a: 1}}"]],
    "in a key": {"${oc.env:HOME}": 1},
    "of a class": deep(RUN),
    "not recursive": {"_target_": "torch.nn.Identity", "_recursive_": False, "a": RUN},
    "bound": RUN | {"_partial_": True},
    "bound twice": {"_target_": "torch.nn.Identity", "_partial_": True, "a": RUN},
    "positional": {"_target_": "torch.nn.Identity", "_args_": "os.system"},
    "converted": {"_target_": "torch.nn.Identity", "_convert_": "os.system"},
    "partial of a text": {"_target_": "my_project.schedulers.warmup", "_partial_": "yes"},
    "remote code": transformer(trust_remote_code=True),
    "automatic": transformer(auto_map={"AutoModel": "somebody/something--model.Model"}),
    "kernel": transformer(attn_implementation="somebody/kernel"),
    "kernels": transformer(_attn_implementation_internal={"": "somebody/kernel:f"}),
    "experts": transformer(experts_implementation="somebody/kernel"),
    "backbone": transformer(use_pretrained_backbone=True),
    "somebody's backbone": transformer(backbone="hf-hub:somebody/something"),
    "pretrained": transformer() | {"pretrained": "somebody/something"},
}


@pytest.fixture(scope="module")
def content(trained: Path) -> Node:
    return torch.load(trained / "checkpoints/best.ckpt", weights_only=True)


@pytest.fixture
def tampered(content: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write the trained checkpoint with another part in its config; the current folder is empty."""
    monkeypatch.chdir(tmp_path)

    def write(part: str, **others: Any) -> Path:
        config = content["config"]
        torch.save(content | {"config": config | {part: config[part] | others}}, tmp_path / "evil.ckpt")
        return tmp_path / "evil.ckpt"

    return write


def refused(call: Callable[..., Any], *arguments: Any) -> str:
    """Return the one line with which a call is refused, after which nothing is there that was not."""
    with pytest.raises(UsageError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "\n" not in message and "\x1b" not in message and len(message) < 600
    assert {path.name for path in Path.cwd().iterdir()} <= {"evil.ckpt"}
    return message


@pytest.mark.parametrize("node", TARGETS, ids=lambda node: repr(node["_target_"]).strip("'"))
def test_nothing_is_called_but_what_is_trusted(tampered: Callable[..., Path], node: Node) -> None:
    assert "not trusted" in refused(load_task, tampered("task", loss=node))
    assert "not trusted" in refused(load_data, tampered("data", sampler=deep(node)))


@pytest.mark.parametrize("name", ARGUMENTS)
def test_no_argument_lets_a_trusted_class_run_something(tampered: Callable[..., Path], name: str) -> None:
    message = refused(load_task, tampered("task", model=ARGUMENTS[name]))
    assert "not trusted" in message or "is damaged" in message
    message = refused(load_data, tampered("data", text=ARGUMENTS[name]))
    assert "not trusted" in message or "is damaged" in message


def test_a_package_in_the_current_folder_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "brought_along").mkdir()
    text = "import kindling\nkindling.trust(__name__)\nraise SystemExit('owned')\n"
    (tmp_path / "brought_along/__init__.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="not trusted"):
        find("brought_along.Model", "checkpoint=x")


def test_modules_that_are_named_are_not_imported_unless_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("antigravity.X", "this.X", "kindling.testing.preload.X", "kindling.cli.command.X"):
        with pytest.raises(UsageError, match="not trusted"):
            find(name, "checkpoint=x")
    assert "antigravity" not in sys.modules and "kindling.testing.preload" not in sys.modules


def test_a_function_is_trusted_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kindling.project._trusted", {"plain", "plain.noisy", "collections.OrderedDict"})
    assert callable(find("plain.noisy", "checkpoint=x")) and callable(find("plain.LitModel", "checkpoint=x"))
    assert callable(find("collections.OrderedDict", "checkpoint=x"))
    for other in ("plain.random_split", "plain.Iterator", "collections.Counter", "collections.OrderedDict.fromkeys"):
        with pytest.raises(UsageError, match="not trusted"):
            find(other, "checkpoint=x")


def test_what_is_trusted_is_built_as_hydra_builds_it(tmp_path: Path) -> None:
    size = {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3}
    network = build({"_target_": "torch.nn.Sequential", "_args_": [size, {"_target_": "torch.nn.ReLU"}]}, "x")
    assert isinstance(network[0], nn.Linear) and isinstance(network[1], nn.ReLU)
    bound = build({"_target_": "torch.nn.functional.cross_entropy", "_partial_": True, "label_smoothing": 0.1}, "x")
    assert bound.keywords == {"label_smoothing": 0.1}
    node = {"_target_": "torch.nn.ParameterDict", "parameters": {}}
    assert len(build(node, "x")) == 0
    metrics = {"a": {"_target_": "torchmetrics.MeanMetric"}}
    built = build({"_target_": "torchmetrics.MetricCollection", "_convert_": "all", "metrics": metrics}, "x")
    assert list(built) == ["a"]
    config = build({"_target_": "transformers.BertConfig", "hidden_size": 8, "num_attention_heads": 2}, "x")
    assert config.hidden_size == 8


def test_arguments_are_the_containers_that_hydra_hands_on() -> None:
    trust("plain.holder")
    for convert in ("none", "partial", "all"):
        node = {"_target_": "plain.holder", "_convert_": convert, "a": {"b": [1, {"c": 2}]}, "d": [1]}
        mine, theirs = build(node, "x"), instantiate(node)
        assert {n: type(v) for n, v in mine.items()} == {n: type(v) for n, v in theirs.items()} and mine == theirs
    assert plain.holder(a=1) == {"a": 1}


def test_a_class_that_refuses_is_one_line(tampered: Callable[..., Path], content: Node) -> None:
    model = content["config"]["task"]["model"]
    assert "BagOfWords can't be built" in refused(load_task, tampered("task", model=model | {"kernel_size": 3}))
    assert "does not fit" in refused(load_task, tampered("task", model=model | {"hidden_size": 3}))
    gone = model | {"_target_": "my_project.models.bag_of_words.Bag"}
    assert "is not there any more" in refused(load_task, tampered("task", model=gone))


def endless() -> Node:
    node: Node = {}
    node["a"] = node
    return node


def wide() -> list[Any]:
    node: list[Any] = [0] * 10
    for _ in range(30):
        node = [node] * 10
    return node


DAMAGED: dict[str, dict[str, Any]] = {
    "step": {"global_step": "7"},
    "negative step": {"global_step": -1},
    "no weights": {"state_dict": None},
    "weights of numbers": {"state_dict": {0: torch.ones(1)}},
    "version": {"pytorch-lightning_version": "x"},
    "config": {"config": 3},
    "config of tensors": {"config": {"task": {"a": torch.ones(2)}}},
    "config of sets": {"config": {"task": {"a": {1, 2}}}},
    "endless": {"config": endless()},
    "endless hyperparameters": {"config": {"task": {"a": endless()}}},
    "wide": {"config": {"task": {"a": wide()}}},
    "task": {"config": {"task": [1]}},
    "data": {"config": {"data": "x"}},
    "dir": {"config": {"data": {"dir": 3}}},
    "no data": {"config": {"data": None}},
    "data of no class": {"config": {"data": {}}},
    "steps": {"config": {"trainer": {"_target_": "x.y", "max_steps": []}}},
    "overrides": {"config": {"overrides": [{"a": 1}]}},
    "place": {"resume": {}},
    "batches": {"resume": {"metrics": {}, "epochs": 1, "epoch_is_ending": True, "batches": [1]}},
    "metrics": {"resume": {"metrics": {"a": "b"}, "epochs": 1, "epoch_is_ending": True, "batches": [1, 2]}},
    "loops": {"loops": []},
    "callbacks": {"callbacks": [1]},
    "optimizers": {"optimizer_states": [{"state": 3}]},
    "schedulers": {"lr_schedulers": [3]},
    "interrupted": {"interrupted": {"by": 3}},
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_checkpoint_of_another_form_is_one_line(content: Node, tmp_path: Path, monkeypatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content | DAMAGED[name], "evil.ckpt")
    assert "is damaged" in refused(read, "evil.ckpt")


@pytest.mark.parametrize("value", [None, 3, {}, {"classes": ["a"]}, {"hash": "x", "classes": 3, "tokenizer": "{}"}])
def test_damaged_state_of_the_data_is_one_line(content: Node, tmp_path: Path, monkeypatch, value: Any) -> None:
    monkeypatch.chdir(tmp_path)
    config = content["config"]
    config = config | {"data": config["data"] | {"pretrained": "somebody/something"}}
    torch.save(content | {"TextFile": value, "config": config}, "evil.ckpt")
    assert "damaged" in refused(load_data, "evil.ckpt")


@pytest.mark.parametrize("part", ["task", "data"])
def test_a_part_of_another_kind_is_one_line(tampered: Callable[..., Path], part: str) -> None:
    path = tampered(part)
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["config"][part] = {"_target_": "torch.nn.ReLU"}
    torch.save(checkpoint, path)
    assert "no Lightning" in refused(load_task if part == "task" else load_data, path)


def test_bytes_that_changed_anywhere_are_noticed(trained: Path, tmp_path: Path) -> None:
    """In tensors, in the pickle, and in what the archive says about its parts; where nothing is lost they may pass."""
    whole = (trained / "checkpoints/best.ckpt").read_bytes()
    before, missed = read(trained / "checkpoints/best.ckpt"), 0
    places = [*range(0, len(whole), len(whole) // 60), *range(len(whole) - 120, len(whole), 4)]
    for place in places:
        content = bytearray(whole)
        content[place] ^= 0x41
        (tmp_path / "a.ckpt").write_bytes(content)
        try:
            after = read(tmp_path / "a.ckpt")
        except UsageError:
            continue
        assert same(after["state_dict"], before["state_dict"]) and after["config"] == before["config"]
        missed += 1
    assert missed < len(places) // 2


def test_a_pipe_or_a_folder_is_no_checkpoint(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoints/folder.ckpt").mkdir(parents=True)
    os.mkfifo(tmp_path / "checkpoints/last.ckpt")
    assert newest_checkpoint(tmp_path) is None
    with pytest.raises(UsageError, match="no such file"):
        read(tmp_path / "checkpoints/last.ckpt")


OPTIONS = [
    "+trainer.plugins=[{_target_:os.system,command:touch}]",
    "+trainer.plugins=[{'_target_':'os.system'}]",
    '+trainer.plugins=[{a: {b: [{"_target_": "os.system"}]}}]',
    "+callbacks.x._target_=os.system",
    "+callbacks.x._target_='os.system'",
    "++callbacks.x={_target_: kindling.sweeps.launchers.local.be_job}",
    "+callbacks.x._target_=kindling.runs.start.remove_empty",
    "+callbacks.x._target_=${a}.${b}",
    "+a={_target_: ${b}}",
    "task.loss._target_=torch.load",
    "trainer._target_=kindling.data.writers.write_rows",
    "model.hidden_size=${oc.create:{_target_: shutil.copy}}",
    "model.hidden_size='${oc.create:{_target_: shutil.copy}}'",
    "model.hidden_size=${oc.select:nothing,{_target_:os.system}}",
    "+a=\"${oc.select:'}',{_target_:os.system}}\"",
    "+a=${oc.decode:x}",
    "+a=${${b}:x}",
    "+a=${oc.env:AWS_SECRET_ACCESS_KEY}",
    "+a=${eval:x}",
    "+a=[{b: ['x${oc.env:HOME}']}]",
    "hydra.run.dir=/tmp",
    "hydra.job.env_set.LD_PRELOAD=/tmp/x.so",
    "+hydra.callbacks.x._target_=os.system",
    "hydra.job_logging.handlers.file.class=os.system",
    "hydra/launcher=joblib",
    "+optimizer@hydra.callbacks=adamw",
    "hydra.searchpath=[file:///tmp]",
    "--config-dir=/tmp",
    "--config-path=/tmp",
    "--experimental-rerun=x.pickle",
    "-m",
    "--multirun=x",
    "-cd=/tmp",
    "data=../../tmp/evil",
    "+data/../../../tmp=evil",
    "data=/tmp/evil",
    "callbacks=[record,../../evil]",
    "seed=1,2",
    "+model.architecture.trust_remote_code=true",
    "+model.architecture={auto_map: {AutoModel: a--b.C}}",
    "+model.architecture.attn_implementation=somebody/kernel",
    "seed",
    "",
    "=",
    "a={",
]


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_out_of_a_file_runs_nothing(option: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_overrides(["seed=1", option], "resume=evil", ROOT / "configs")
    message = str(caught.value)
    assert message.startswith("resume=evil: ") and "\n" not in message


def test_options_that_runs_have_are_taken() -> None:
    options = [
        "data=csv",
        "data.path='it\\'s/here.csv'",
        "callbacks=[record,checkpoint]",
        "~callbacks.report",
        "seed=3",
    ]
    options += ["data.dir='${paths.data}/${stem:${data.path}}'", "name_pattern='{model}-{optimizer.lr}'"]
    options += ["logger=[csv]"]
    options += ["+trainer.max_time='00:01:00'", "model.pretrained=null", "optimizer=sgd", "+task.loss.weight=[1,2]"]
    options += ["name=${hydra:runtime.choices.model}-x", "experiment=null", "task.loss._target_=torch.nn.NLLLoss"]
    options += ["+callbacks.t={_target_: pytorch_lightning.callbacks.Timer, duration: '00:01:00'}"]
    options += ["optimizer._target_=torch.optim.Adam", "+trainer.precision=bf16-mixed"]
    options += ["scheduler.scheduler={_target_: my_project.schedulers.cosine, _partial_: true}"]
    named = [
        "torch.nn.NLLLoss",
        "pytorch_lightning.callbacks.Timer",
        "torch.optim.Adam",
        "my_project.schedulers.cosine",
    ]
    assert check_overrides(options, "resume=x", ROOT / "configs") == named


def test_a_repeated_config_names_what_the_project_names_or_what_is_trusted() -> None:
    check_config(
        {"a": {"_target_": "kindling.cli.hooks.JobHooks", "b": "${oc.env:PROJECT_ROOT,.}"}}, "", ROOT / "configs"
    )
    for value in ({"_target_": "os.system"}, "${oc.create:{a: 1}}", {"trust_remote_code": True}):
        with pytest.raises(UsageError, match=r"^rerun=x: .*not trusted"):
            check_config({"trainer": {"callbacks": [value]}}, "rerun=x", ROOT / "configs")


@pytest.fixture
def evil_run(trained: Path, tmp_path: Path) -> Path:
    """A run that wants to make the file OWNED wherever it can."""
    shutil.copytree(trained, tmp_path / "evil")
    for name in ("best", "last"):
        file = tmp_path / f"evil/checkpoints/{name}.ckpt"
        checkpoint = torch.load(file, weights_only=True)
        owned = {
            "_target_": "pathlib.Path.touch",
            "self": {"_target_": "pathlib.Path", "_args_": [str(tmp_path / OWNED)]},
        }
        checkpoint["config"]["task"]["loss"] = owned
        text = f"{{_target_: os.system, command: 'touch {tmp_path / OWNED}'}}"
        checkpoint["config"]["overrides"].append(f"+trainer.plugins=[{text}]")
        torch.save(checkpoint, file)
    config = tmp_path / "evil/.hydra/config.yaml"
    config.write_text(f"{config.read_text()}\nevil: {{_target_: os.system, command: 'touch {tmp_path / OWNED}'}}\n")
    return tmp_path / "evil"


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("evaluate", "checkpoint={run}"),
        ("predict", "checkpoint={run}"),
        ("train", "resume={run}"),
        ("train", "resume={run}/checkpoints/last.ckpt"),
        ("train", "rerun={run}"),
    ],
)
def test_commands_refuse_in_one_line(command: Command, evil_run: Path, name: str, option: str, tmp_path: Path) -> None:
    options = [option.format(run=evil_run)]
    if name == "predict":
        (tmp_path / "new.csv").write_text("review\na great film\n")
        options += [f"input={tmp_path / 'new.csv'}", f"output={tmp_path / 'out.csv'}"]
    found = command(name, *options)
    assert found.code == 2 and "not trusted" in found.err and "Traceback" not in found.err
    assert not (tmp_path / OWNED).exists() and not (tmp_path / "out.csv").exists()
    if name == "train":
        found = command("evaluate", f"inspect={evil_run}")
        assert found.code == 0 and not (tmp_path / OWNED).exists()


def test_nobody_is_asked_to_trust_a_module_of_python(tampered: Callable[..., Path]) -> None:
    said = refused(load_task, tampered("task", loss={"_target_": "os.system", "_args_": ["exit"]}))
    assert "do not use the file" in said and "kindling.trust" not in said


def test_training_says_what_no_command_will_build_from_its_checkpoints(
    command: Command, dataset: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = [
        *dataset,
        "model=bow",
        "debug=fast",
        "logger=[]",
        "callbacks=[checkpoint]",
        f"paths.run={tmp_path / 'run'}",
    ]
    loss = "task.loss._target_=plain.weighted_loss"
    found = command("train", *short, loss, f"paths.run={tmp_path / 'run'}")
    assert found.code == 0, found.err
    (line,) = [line for line in found.err.splitlines() if "is not trusted" in line]
    assert line.startswith("plain.weighted_loss: evaluate.py and predict.py will not build it") and "safety.md" in line
    refused_later = command("evaluate", f"checkpoint={tmp_path / 'run'}")
    assert refused_later.code == 2 and "plain.weighted_loss, which is not trusted" in refused_later.err
    monkeypatch.setattr("kindling.project._trusted", {"my_project", *re.findall(r'kindling.trust\("(.*?)"\)', line)})
    found = command("train", *short, loss, f"paths.run={tmp_path / 'again'}")
    assert found.code == 0 and "not trusted" not in found.err
    assert command("evaluate", f"checkpoint={tmp_path / 'run'}").code == 0
