"""A project baked with Kindling, by its own train.py, with all that it does by default."""

import os
import runpy
import sys

from work import Work

TITLE = "Kindling"

MODELS = {
    "bert": "model=bert",
    "bert_base": "model=bert model.architecture.hidden_size=768 model.architecture.num_hidden_layers=12 "
    "model.architecture.num_attention_heads=12 model.architecture.intermediate_size=3072",
    "bow": "model=bow",
    "mlp": "model=mlp model.sizes=[784,256]",
    "linear": "model=mlp model.sizes=[4]",
}


def command(work: Work) -> list[str]:
    """Return the arguments of train.py."""
    job, folder = work.job, work.folder
    arguments = MODELS[job.network].split()
    arguments += (folder / job.data / "options").read_text(encoding="utf-8").splitlines()
    arguments += [f"data.batch_size={job.batch_size}", f"seed={work.seed}", f"paths.data={folder}/data"]
    arguments += ["trainer.max_epochs=1", f"trainer.gpus={0 if job.device == 'cpu' else 1}"]
    arguments += [f"paths.run={folder}/runs/{os.getpid()}"]
    if job.precision != "32-true":
        arguments.append(f"trainer.precision={job.precision}")
    if job.compiled:
        arguments.append("task.compiled=true")
    if work.dropout == 0 and job.network == "bert":
        arguments += ["+model.architecture.hidden_dropout_prob=0", "+model.architecture.attention_probs_dropout_prob=0"]
    return arguments


def train(work: Work) -> None:
    """Run train.py in this process, as `python train.py ...` does."""
    project = work.folder / "project"
    os.chdir(project)
    sys.path[:0] = [str(project), str(project / "src")]
    sys.argv = ["train.py", *command(work)]
    runpy.run_path("train.py", run_name="__main__")


JOBS = {
    "text": train,
    "text_bf16": train,
    "mlp": train,
    "mlp_1024": train,
    "overhead": train,
    "command": train,
    "startup_bow": train,
    "startup_bert": train,
    "gpu": train,
    "gpu_compile": train,
}
