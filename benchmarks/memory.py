"""Measure make_dataset.py on datasets of ten thousand to a million texts: CPU time and peak memory.

python benchmarks/memory.py
python benchmarks/memory.py --rows 10000,100000
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from prepare import HERE, ONE_CORE, bake
from sentences import write_csv


def main() -> None:
    """Make the datasets one after the other, and write a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="10000,100000,1000000")
    parser.add_argument("--output", type=Path, default=HERE / "results")
    options = parser.parse_args()
    lines = ["| texts | source | CPU time | peak memory |", "| ---: | ---: | ---: | ---: |"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary).resolve()
        bake(folder, HERE.parent)
        for rows in map(int, options.rows.split(",")):
            source = folder / f"{rows}.csv"
            write_csv(source, rows)
            seconds, peak = measure(folder / "project", source)
            lines.append(f"| {rows:,} | {source.stat().st_size / 2**20:,.0f} MiB | {seconds:.0f} s | {peak:,.0f} MiB |")
            print(lines[-1], flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    Path(options.output, "memory.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def measure(project: Path, source: Path) -> tuple[float, float]:
    """Return the CPU seconds and the peak MiB of a process that makes a dataset of `source`."""
    command = [sys.executable, "make_dataset.py", "data=csv", f"data.path={source}", f"paths.data={source.parent}/data"]
    environment = os.environ | ONE_CORE | {"PYTHONPATH": "src"}
    with subprocess.Popen(command, cwd=project, env=environment, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed")
    per_mib = 2**20 if sys.platform == "darwin" else 2**10
    return used.ru_utime + used.ru_stime, used.ru_maxrss / per_mib


if __name__ == "__main__":
    main()
