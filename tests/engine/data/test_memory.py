"""Memory: what grows with a dataset is a few bytes per row."""

import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import ROOT
from kindling.data import splits, store
from kindling.data.file import TextFile
from kindling.data.readers import read_rows

MIB = 2**20
LIMIT = 48 * MIB


def peak_of_making(folder: Path, num_rows: int) -> int:
    """Return the most bytes that were in use while a dataset of so many rows and its tokens were made."""
    source = folder / f"{num_rows}.csv"
    with source.open("w") as file:
        file.write("text,label\n")
        file.writelines(f"some words and a number like {number},{'ab'[number % 2]}\n" for number in range(num_rows))
    data = TextFile(str(source), dir=str(folder / str(num_rows)), vocab_size=300)
    tracemalloc.start()
    data.make()
    data.prepare_data()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_the_memory_of_making_a_dataset_does_not_grow_with_its_rows(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(store, "ROWS_PER_CHUNK", 1000)
    monkeypatch.setattr(splits, "ROWS_PER_BATCH", 1000)
    _, few, many = (peak_of_making(tmp_path, num_rows) for num_rows in (1000, 5000, 30_000))  # the first one imports
    assert many - few < 20 * 25_000


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet", ".txt"])
def test_a_file_is_read_a_piece_at_a_time(tmp_path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    table = pa.table({"text": [f"{'words ' * 20}{number}" for number in range(60_000)]})
    if suffix == ".parquet":
        pq.write_table(table, path, row_group_size=5000)
    else:
        line = json.dumps({"text": "words " * 20}) if suffix == ".jsonl" else "words " * 20
        path.write_text("text\n" * (suffix == ".csv") + f"{line}\n" * 60_000)
    size = table.nbytes
    del table
    tracemalloc.start()
    most = max(pa.total_allocated_bytes() for _ in read_rows(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most + peak < 0.75 * size


# Train on a small dataset, so that all libraries have what they need; then on the large one, with little more.
TRAIN = """
import re, resource, runpy, sys
import numpy as np

def train(*options):
    sys.argv = ["train.py", *options, "model=bow", "debug=fast", "logger=[csv]"]
    runpy.run_path("train.py", run_name="__main__")

limit, small, large, tokens, runs, *options = sys.argv[1:]
train(*options, f"data.dir={small}", f"paths.run={runs}/small")
taken = int(re.search(r"VmData:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (taken + int(limit), resource.RLIM_INFINITY))
train(*options, f"data.dir={large}", f"paths.run={runs}/large")
print("trained")
try:
    np.fromfile(tokens, np.int32)
except MemoryError:
    print("the tokens alone do not fit")
"""


def multiply(small: Path, large: Path, times: int) -> Path:
    """Make a dataset that holds the rows of another one many times, and return the file of its tokens."""
    (tokens,) = (small / "tokens").iterdir()
    folder = large / "tokens" / tokens.name
    folder.mkdir(parents=True)
    facts = json.loads((small / "dataset.json").read_text())
    facts["num_samples"] *= times
    (large / "dataset.json").write_text(json.dumps(facts))
    pq.write_table(pa.concat_tables([pq.read_table(small / "samples.parquet")] * times), large / "samples.parquet")
    (folder / "tokenizer.json").write_bytes((tokens / "tokenizer.json").read_bytes())
    lengths = np.diff(np.load(tokens / "offsets.npy"))
    np.save(folder / "offsets.npy", np.cumsum([0, *np.tile(lengths, times)]))
    with (folder / "tokens.int32").open("wb") as file:
        for _ in range(times):
            file.write((tokens / "tokens.int32").read_bytes())
    return folder / "tokens.int32"


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_a_dataset_of_ten_times_the_memory_that_is_left_trains(tmp_path) -> None:
    source = tmp_path / "a.csv"
    rows = [f"{'some words of a long text ' * 20}{number},{'ab'[number % 2]}" for number in range(3000)]
    source.write_text("\n".join(["text,label", *rows]))
    data = TextFile(str(source), dir=str(tmp_path / "small"), vocab_size=300)
    data.make()
    data.prepare_data()
    tokens = multiply(tmp_path / "small", tmp_path / "large", times=350)
    assert tokens.stat().st_size > 10 * LIMIT
    folders = [str(path) for path in (tmp_path / "small", tmp_path / "large", tokens, tmp_path / "runs")]
    options = ["data=csv", f"data.path={source}", "data.vocab_size=300"]
    # The system's allocator, as others reserve a gigabyte at their first use and this hides what is taken later; and
    # one thread each, as every new one takes 8 MiB for its stack.
    threads = {"OMP_NUM_THREADS": "1", "ARROW_IO_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")} | threads
    command = [sys.executable, "-c", TRAIN, str(LIMIT), *folders, *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["trained", "the tokens alone do not fit"]
