"""Measure BERT-base in bf16 on one GPU: real tokens per second, and the share of the GPU's peak that they are.

python benchmarks/gpu.py                    the raw loop and the baked project, with and without torch.compile
python benchmarks/gpu.py --quick
"""

import argparse
import datetime
import json
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import torch

import catalog
import machine
from jobs import JOBS
from prepare import prepare
from report import Record
from run import HERE, contend, steps_of

LAYERS, WIDTH, LENGTH = 12, 768, 128
PEAKS = {"H200": 989e12, "H100 80GB HBM3": 989e12, "H100 PCIe": 756e12, "A100": 312e12}  # dense bf16, from data sheets


def main() -> None:
    """Go round, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", type=Path, default=HERE / "results")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("no GPU: not measured")
        return
    gpu = torch.cuda.get_device_name()
    results: dict[str, Any] = {"date": f"{datetime.date.today()}", "gpu": gpu, **machine.describe(HERE.parent)}
    jobs = [name for name, job in JOBS.items() if job.device == "cuda"]
    seeds = list(range(1, options.rounds + 1))
    results["records"] = records = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        results["data"] = prepare(folder, HERE.parent, jobs, seeds)
        for seed in seeds:
            for job in jobs:
                for contender in [one for one in catalog.find() if job in one.jobs]:
                    steps = steps_of(contender, job, options.quick)
                    records.append({"round": seed, **contend(folder, contender.name, job, seed=seed, steps=steps)})
                    print(json.dumps(records[-1]), flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    name = "-".join(gpu.lower().split())
    Path(options.output, f"{results['date']}-{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    Path(options.output, "gpu.md").write_text(table(records, gpu), encoding="utf-8")
    print(table(records, gpu))


def flops_per_token() -> int:
    """Return the floating-point operations of a training step per token: 6 per weight, and attention's products."""
    weights = LAYERS * (12 * WIDTH**2 + 13 * WIDTH)  # the encoder's: embeddings are looked up, not multiplied
    return 6 * weights + 12 * LAYERS * WIDTH * LENGTH


def table(records: list[Record], gpu: str) -> str:
    """Return a table in Markdown."""
    peak = next((peak for name, peak in PEAKS.items() if name in gpu), None)
    lines = [f"| {gpu} | tokens/s | share of the peak | GPU memory |", "| --- | ---: | ---: | ---: |"]
    for contender in catalog.find():
        for job in ("gpu", "gpu_compile"):
            found = [r for r in records if (r["job"], r["contender"]) == (job, contender.name) and "error" not in r]
            if found:
                rate = median(r["steps"] * r["batch_size"] * LENGTH / r["wall_seconds"] for r in found)
                share = f"{rate * flops_per_token() / peak:.0%}" if peak else "peak unknown"
                memory = f"{max(r['gpu_memory_mb'] for r in found) / 1024:.1f} GiB"
                title = contender.title + (", torch.compile" if JOBS[job].compiled else "")
                lines.append(f"| {title} | {rate:,.0f} | {share} | {memory} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
