"""What is measured: the jobs, and how many steps each takes."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Job:
    """One piece of work that every contender does alike.

    Args:
        title: Its column in the table.
        data: The prepared data that it trains on: a folder's name.
        network: What is trained; `work.Work.network` builds it.
        batch_size: Samples per step.
        steps: Optimizer steps, after which the clock ends the process.
        quick: Steps under `--quick`.
        unit: "ratio": samples per CPU second relative to the reference; "us": CPU microseconds per step beyond the
            reference; "s": CPU seconds from the start of the process to the end of the first step.
        warmup: Steps before the clock starts; without any it starts with the first training forward.
        precision: As Lightning calls it.
        reference: The job whose raw loop is compared with; its own if empty.
        device: "cpu" or "cuda".
        compiled: Whether to use torch.compile.
        whole: Whether the process ends by itself, after an epoch; all its CPU time is counted.
    """

    title: str
    data: str
    network: str
    batch_size: int
    steps: int
    quick: int
    unit: str = "ratio"
    warmup: int = 0
    precision: str = "32-true"
    reference: str = ""
    device: str = "cpu"
    compiled: bool = False
    whole: bool = False


GPU = Job("BERT-base on a GPU", "long", "bert_base", 256, 120, 60, warmup=30, precision="bf16-mixed", device="cuda")

JOBS = {
    "text": Job("BERT-tiny, batch 32", "text", "bert", 32, 400, 120),
    "text_bf16": Job("BERT-tiny in bf16", "text", "bert", 32, 400, 120, precision="bf16-mixed", reference="text"),
    "mlp": Job("MLP, batch 64", "images", "mlp", 64, 1800, 900),
    "mlp_1024": Job("MLP, batch 1024", "images", "mlp", 1024, 115, 60),
    "overhead": Job("step of Linear(4, 2)", "points", "linear", 1, 2200, 1200, unit="us", warmup=200),
    "startup_bow": Job("first step, bag of words", "text", "bow", 32, 1, 1, unit="s"),
    "startup_bert": Job("first step, BERT-tiny", "text", "bert", 32, 1, 1, unit="s"),
    "command": Job("whole command, an epoch of the MLP", "images", "mlp", 64, 1875, 1875, unit="s", whole=True),
    "gpu": GPU,
    "gpu_compile": replace(GPU, title="BERT-base on a GPU, compiled", compiled=True),
}
