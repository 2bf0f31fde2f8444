"""Measure the baked project beside other ways to train: a table, a picture and the records go to benchmarks/results.

python benchmarks/run.py                              everything, five rounds
python benchmarks/run.py --quick                      fewer steps, two rounds
python benchmarks/run.py --jobs text,mlp --rounds 3
python benchmarks/run.py --only raw,project
"""

import argparse
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import catalog
import machine
from jobs import JOBS
from picture import draw
from prepare import ONE_CORE, prepare
from report import Record, figures, table

HERE = Path(__file__).parent
LOSSES = 20
CPU_JOBS = [name for name, job in JOBS.items() if job.device == "cpu"]


def main() -> None:
    """Prepare, check that the losses are equal, go round, and report after each round."""
    options = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.work or Path(temporary)).resolve()
        print("Baking the project and making the data", flush=True)
        seeds = list(range(1, options.rounds + 1))
        results: dict[str, Any] = {
            "date": f"{datetime.date.today()}",
            **machine.describe(options.template),
            "quick": options.quick,
        }
        results["data"] = prepare(folder, options.template, options.jobs, seeds)
        results["equal"] = [compare_losses(folder, job) for job in ("text", "mlp") if job in options.jobs]
        results["records"] = []
        for number in seeds:
            for job in options.jobs:
                for contender in catalog.find():
                    if job in contender.jobs and (not options.only or contender.name in options.only):
                        steps = steps_of(contender, job, options.quick)
                        record = contend(folder, contender.name, job, seed=number, steps=steps)
                        results["records"].append({"round": number, **record})
                        show(number, record)
            write(results, options.output)
    print(f"\n{table(results['records'], catalog.find())}")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=words, default=CPU_JOBS, help=f"of {','.join(CPU_JOBS)}")
    parser.add_argument("--only", type=words, default=[], help="contenders; the others sit out")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--template", type=Path, default=HERE.parent, help="another version of Kindling to bake")
    parser.add_argument("--work", type=Path, help="keep what is prepared in this folder")
    parser.add_argument("--output", type=Path, default=HERE / "results")
    options = parser.parse_args()
    if unknown := set(options.jobs) - set(CPU_JOBS):
        parser.error(f"no such job: {', '.join(sorted(unknown))}")
    if unknown := set(options.only) - {one.name for one in catalog.find()}:
        parser.error(f"no such contender: {', '.join(sorted(unknown))}")
    options.rounds = options.rounds or (2 if options.quick else 5)
    return options


def words(text: str) -> list[str]:
    """Split at commas."""
    return text.split(",")


def steps_of(contender: catalog.Contender, job: str, quick: bool) -> int:
    """Return how many steps a contender takes."""
    share = JOBS[job].quick / JOBS[job].steps if quick else 1
    return max(1, round(share * contender.steps.get(job, JOBS[job].steps)))


def contend(folder: Path, contender: str, job: str, **options: Any) -> Record:
    """Let a contender do a job in a process of its own, on one core, and return its record."""
    arguments = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, str(HERE / "contend.py"), contender, job, "--work", str(folder), *arguments]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | ONE_CORE
    if JOBS[job].device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        record: Record = json.loads(done.stdout.splitlines()[-1])
        return record
    reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return {"contender": contender, "job": job, "error": reason.replace(str(folder), "...")}


def compare_losses(folder: Path, job: str) -> dict[str, Any]:
    """Return how far the first losses of the project are from those of the raw loop: same weights, same batches."""
    raw, project = (contend(folder, name, job, seed=1, steps=LOSSES, losses=LOSSES) for name in ("raw", "project"))
    if "error" in raw or "error" in project:
        sys.exit(f"{job}: {raw.get('error') or project['error']}")
    pairs = list(zip(raw["losses"], project["losses"], strict=True))
    difference = max(abs(a - b) for a, b in pairs)
    print(f"{job}: the first {len(pairs)} losses differ by {difference:.1e} from the raw loop's", flush=True)
    return {"job": job, "losses": len(pairs), "greatest_difference": difference}


def show(number: int, record: Record) -> None:
    """Print a line for a record."""
    line = record.get("error") or (
        f"{record['steps'] * record['batch_size'] / record['cpu_seconds']:,.0f} samples/CPU s, "
        f"first step after {record['startup_cpu_seconds']:.2f} CPU s, "
        f"{record['whole_cpu_seconds']:.1f} CPU s in all"
    )
    print(f"round {number}  {record['job']:13} {record['contender']:21} {line}", flush=True)


def write(results: dict[str, Any], folder: Path) -> None:
    """Write records, table and picture."""
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "-", f"{results['cpu']} {results['cores']} cores".lower()).strip("-")
    text = json.dumps(results, indent=1)
    (folder / f"{results['date']}-{name}.json").write_text(text + "\n", encoding="utf-8")
    (folder / "table.md").write_text(table(results["records"], catalog.find()), encoding="utf-8")
    draw(figures(results["records"]), catalog.find(), folder / "speed.png")


if __name__ == "__main__":
    main()
