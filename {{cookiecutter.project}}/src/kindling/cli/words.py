"""Words of other trainers and templates, and what is said here instead: typed from habit, answered with the remedy.

They come from Lightning and lightning-hydra-template, the Hugging Face Trainer, litgpt and torchtitan. A word is looked
up only where the project itself has no option of that name.
"""

from .training_words import DATA, PLACES, TRAIN, Remedy

_R = Remedy

CHECKPOINT = PLACES | {
    "ckpt_path": _R("checkpoint={}"),
    "ckpt": _R("checkpoint={}"),
    "resume": _R("checkpoint={}"),
    "init": _R("checkpoint={}"),
    "checkpoint_path": _R("checkpoint={}"),
    "checkpoint_dir": _R("checkpoint={}"),
    "model_name_or_path": _R("checkpoint={}"),
    "model_path": _R("checkpoint={}"),
    "weights": _R("checkpoint={}"),
    "run": _R("checkpoint={}"),
    "model": _R("", "the checkpoint says which model it is; leave it out"),
    "task": _R("", "the checkpoint says which task it is; leave it out"),
}

EVALUATE = CHECKPOINT | {
    "data": _R("", "a checkpoint is tested on the data that it was trained on; predict.py input=<file> takes others"),
    "split": _R("", "the test split is evaluated; metrics.json of the run has the others"),
    "device": _R("trainer={}", "there are cpu, gpu, mps and ddp"),
}

PREDICT = CHECKPOINT | {
    "data": _R("input=<file>", "a .csv, .jsonl, .parquet or .txt file"),
    "data.path": _R("input={}"),
    "input_file": _R("input={}"),
    "file": _R("input={}"),
    "output_dir": _R("output={}/predictions.csv"),
    "output_file": _R("output={}"),
    "out": _R("output={}"),
    "data.text": _R("column={}"),
    "data.batch_size": _R("batch_size={}"),
    "bs": _R("batch_size={}"),
}

COMPARE = PLACES | {"monitor": _R("metric={}"), "sort": _R("metric={}"), "limit": _R("rows={}"), "top": _R("rows={}")}

MAKE = (
    PLACES
    | DATA
    | {
        "dataset": TRAIN["dataset"],
        "dataset_name": TRAIN["dataset_name"],
        "train_file": TRAIN["train_file"],
        "path": _R("data=csv data.path={}"),
        "input": _R("data=csv data.path={}"),
        "max_len": TRAIN["max_len"],
        "max_seq_length": TRAIN["max_seq_length"],
        "output_dir": _R("data.dir={}"),
    }
)

WORDS = {"train": TRAIN, "evaluate": EVALUATE, "predict": PREDICT, "compare": COMPARE, "make_dataset": MAKE}

# Choices of groups.
CHOICES = {
    "trainer=ddp_sim": _R("trainer=ddp_cpu"),
    "trainer=cuda": _R("trainer=gpu"),
    "debug=default": _R("debug=fast"),
    "debug=true": _R("debug=fast"),
    "debug=fdr": _R("debug=fast", "trainer.fast_dev_run=true leaves nothing behind"),
    "debug=limit": _R("trainer.limit_train_batches=0.01"),
    "debug=profiler": _R("debug=profile"),
    "callbacks=default": _R("", "leave it out"),
    "callbacks=none": _R("callbacks=[]"),
    "callbacks=null": _R("callbacks=[]"),
    "callbacks=model_checkpoint": _R("callbacks=[checkpoint]", "it is one of the defaults"),
    "callbacks=model_summary": _R("+callbacks=summary"),
    "callbacks=rich_progress_bar": _R("+callbacks=progress", "it is one of the defaults"),
    "logger=none": _R("logger=[]"),
    "logger=null": _R("logger=[]"),
    "logger=false": _R("logger=[]"),
    "logger=many_loggers": _R("logger=[csv,tensorboard,wandb]"),
    "logger=tb": _R("logger=tensorboard"),
    "scheduler=none": _R("scheduler=constant"),
    "scheduler=linear": _R("scheduler=warmup"),
    "optimizer=adam": _R("optimizer=adamw optimizer.weight_decay=0"),
}


def remedy(command: str, word: str) -> Remedy | None:
    """Return what `command` has instead of an option that there is not, or of one choice of a group."""
    return WORDS.get(command, PLACES).get(word)
