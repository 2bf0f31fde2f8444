"""What `train.py` has instead of the options of other trainers and templates."""

from typing import NamedTuple


class Remedy(NamedTuple):
    """What to type instead of a foreign word.

    Args:
        options: In which {} stands for the value that was given; empty if no option says it.
        note: What else there is to know.
    """

    options: str
    note: str = ""

    def said(self, value: str) -> str:
        """Return it as the rest of a sentence."""
        use = f"use {self.options}" if self.options else ""
        return "; ".join(filter(None, (use, self.note))).replace("{}", value)


_R = Remedy
ALL = "of all processes together"
NO_TRAINING = _R("", "train.py trains; python evaluate.py checkpoint=best tests without training")
ALWAYS_TESTS = _R("trainer.limit_test_batches=0", "the best checkpoint is tested at the end of every training")
NO_SWITCH = _R("", "leave it out: what it asks for is done anyway")

# Of what every command knows.
PLACES = {
    "data_dir": _R("paths.data={}"),
    "paths.data_dir": _R("paths.data={}"),
    "paths.log_dir": _R("paths.runs={}"),
    "paths.output_dir": _R("paths.run={}"),
    "paths.root_dir": _R("paths.root={}"),
    "verbose": _R("hydra.verbose={}"),
}

DATA = {"data.data_dir": _R("data.dir={}", "paths.data={} is the folder of all datasets")}

TRAIN = (
    PLACES
    | DATA
    | {
        "local": _R("user={}", "its file is configs/user/{}.yaml"),
        # where a run begins
        "ckpt_path": _R("resume={}"),
        "ckpt": _R("resume={}"),
        "checkpoint": _R("resume={}", "init={} begins with its weights alone; evaluate.py checkpoint={} tests it"),
        "resume_from": _R("resume={}"),
        "resume_from_checkpoint": _R("resume={}"),
        "trainer.resume_from_checkpoint": _R("resume={}"),
        "checkpoint.load_step": _R("resume=auto"),
        "initial_checkpoint_dir": _R("init={}"),
        "checkpoint_dir": _R("init={}"),
        "checkpoint.initial_load_path": _R("init={}"),
        "init_from": _R("init={}"),
        "load_from": _R("init={}"),
        "weights": _R("init={}"),
        "model_name_or_path": _R("model.pretrained={}"),
        "pretrained": _R("model.pretrained={}"),
        # where it lies, and how it is called
        "output_dir": _R("paths.run={}"),
        "out_dir": _R("paths.run={}"),
        "run_dir": _R("paths.run={}"),
        "log_dir": _R("paths.runs={}"),
        "logging_dir": _R("paths.runs={}"),
        "save_dir": _R("paths.run={}"),
        "job.dump_folder": _R("paths.run={}"),
        "overwrite_output_dir": _R("", "a run gets a folder of its own; leave it out"),
        "task_name": _R("name={}"),
        "run_name": _R("name={}"),
        "exp_name": _R("name={}"),
        "experiment_name": _R("name={}"),
        # what is done
        "train": NO_TRAINING,
        "do_train": NO_TRAINING,
        "test_only": NO_TRAINING,
        "evaluate": NO_TRAINING,
        "do_eval": NO_TRAINING,
        "test": ALWAYS_TESTS,
        "do_test": ALWAYS_TESTS,
        "do_predict": _R("", "python predict.py checkpoint=best input=<file> predicts"),
        "dry_run": _R("debug=fast"),
        "fast_dev_run": _R("trainer.fast_dev_run={}", "debug=fast leaves a run behind as well"),
        "overfit": _R("debug=overfit"),
        "hparams_search": _R("-m sweep=search", "in configs/sweep there are grid, learning_rate, pareto and search"),
        "optuna": _R("-m sweep=search"),
        "n_trials": _R("-m sweep=search sweep.trials={}"),
        "optimized_metric": _R("monitor={}"),
        "metric_for_best_model": _R("monitor={}"),
        "greater_is_better": _R("mode=max", "or mode=min"),
        "load_best_model_at_end": NO_SWITCH,
        # how long
        "epochs": _R("trainer.max_epochs={}"),
        "num_epochs": _R("trainer.max_epochs={}"),
        "num_train_epochs": _R("trainer.max_epochs={}"),
        "train.epochs": _R("trainer.max_epochs={}"),
        "steps": _R("trainer.max_steps={}"),
        "train_steps": _R("trainer.max_steps={}"),
        "max_train_steps": _R("trainer.max_steps={}"),
        "training.steps": _R("trainer.max_steps={}"),
        "patience": _R("callbacks.early_stopping.patience={}"),
        "early_stopping_patience": _R("callbacks.early_stopping.patience={}"),
        # batches
        "bs": _R("data.batch_size={}"),
        "train_batch_size": _R("data.batch_size={}", ALL),
        "global_batch_size": _R("data.batch_size={}", ALL),
        "train.global_batch_size": _R("data.batch_size={}", ALL),
        "training.global_batch_size": _R("data.batch_size={}", ALL),
        "per_device_train_batch_size": _R("data.batch_size={}", f"the size is that {ALL}"),
        "per_device_eval_batch_size": _R("data.batch_size={}", f"the size is that {ALL}, in every split"),
        "eval_batch_size": _R("data.batch_size={}", "the size is the same in every split"),
        "train.micro_batch_size": _R("data.batch_size={}", f"the size is that {ALL}"),
        "gradient_accumulation_steps": _R("trainer.accumulate_grad_batches={}"),
        "auto_find_batch_size": _R("tune=batch_size"),
        "trainer.auto_scale_batch_size": _R("tune=batch_size"),
        "dataloader_num_workers": _R("data.num_workers={}"),
        "workers": _R("data.num_workers={}"),
        "data.pin_memory": _R("", "leave it out: batches for a GPU are in pinned memory anyway"),
        "max_len": _R("data.max_length={}"),
        "max_seq_length": _R("data.max_length={}"),
        "dataset": _R("data={}"),
        "dataset_name": _R("data=hub data.name={}"),
        "train_file": _R("data=csv data.path={}"),
        "n_splits": _R("data.folds={}", "with -m data.fold=0,1,..."),
        "num_folds": _R("data.folds={}", "with -m data.fold=0,1,..."),
        # the optimizer
        "learning_rate": _R("optimizer.lr={}"),
        "base_lr": _R("optimizer.lr={}"),
        "wd": _R("optimizer.weight_decay={}"),
        "optim": _R("optimizer={}"),
        "optimizer.name": _R("optimizer={}"),
        "model.optimizer.lr": _R("optimizer.lr={}"),
        "model.scheduler": _R("scheduler={}"),
        "lr_scheduler_type": _R("scheduler={}"),
        "warmup_ratio": _R("scheduler.scheduler.warmup={}"),
        "max_grad_norm": _R("trainer.gradient_clip_val={}"),
        "grad_clip": _R("trainer.gradient_clip_val={}"),
        "trainer.auto_lr_find": _R("tune=lr"),
        "trainer.track_grad_norm": _R("+callbacks=gradient_norm"),
        "ema": _R("+callbacks=ema"),
        "loss": _R("task.loss._target_={}", "a class of torch.nn, such as torch.nn.CrossEntropyLoss"),
        "metrics": _R("", "metrics stand in configs/task/<task>.yaml, under task.metrics"),
        # the machine
        "device": _R("trainer={}", "there are cpu, gpu, mps and ddp"),
        "gpu": _R("trainer.gpus={}"),
        "n_gpus": _R("trainer.gpus={}"),
        "no_cuda": _R("trainer=cpu"),
        "use_cpu": _R("trainer=cpu"),
        "cuda": _R("trainer=gpu", "or trainer=cpu"),
        "fp16": _R("trainer.precision=16-mixed"),
        "amp": _R("trainer.precision=16-mixed"),
        "bf16": _R("trainer.precision=bf16-mixed"),
        "compile": _R("task.compiled={}"),
        "torch_compile": _R("task.compiled={}"),
        "model.compile": _R("task.compiled={}"),
        "compile.enable": _R("task.compiled={}"),
        "fsdp": _R("trainer=fsdp"),
        "deepspeed": _R("trainer=deepspeed"),
        "local_rank": _R("", "leave it out: torchrun and srun say it in the environment"),
        "trainer.replace_sampler_ddp": NO_SWITCH,
        "random_seed": _R("seed={}"),
        "manual_seed": _R("seed={}"),
        # what is logged and kept
        "report_to": _R("logger={}"),
        "logger_name": _R("logger={}"),
        "wandb": _R("logger=[csv,wandb]"),
        "metrics.enable_wandb": _R("logger=[csv,wandb]"),
        "tensorboard": _R("logger=[csv,tensorboard]"),
        "logging_steps": _R("trainer.log_every_n_steps={}"),
        "eval_steps": _R("trainer.val_check_interval={}", "in batches"),
        "eval_strategy": _R("trainer.val_check_interval=1.0", "once an epoch; a whole number counts batches"),
        "save_steps": _R("callbacks.last_checkpoint.every_n_steps={}"),
        "save_strategy": _R("callbacks.last_checkpoint.every_n_epochs=1"),
        "save_total_limit": _R("+callbacks=keep_best", "best and last are kept; this keeps the three best"),
        "trainer.weights_summary": _R("+callbacks=summary"),
        "trainer.progress_bar_refresh_rate": _R("callbacks.progress.refresh_rate={}"),
        "trainer.checkpoint_callback": _R("", "leave checkpoint out of callbacks=[...]"),
        "disable_tqdm": _R("~callbacks.progress"),
        "early_stopping": _R("callbacks.early_stopping.patience=3", "~callbacks.early_stopping leaves it out"),
        "profiling.enable_profiling": _R("debug=profile"),
        "profiler": _R("debug=profile"),
        "extras.print_config": _R("", "python train.py --cfg job prints the options"),
    }
)
