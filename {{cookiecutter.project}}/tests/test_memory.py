"""Memory: what grows with a dataset is a few bytes per row."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from my_project.data.files import TextFile

ROOT = Path(__file__).parent.parent
MIB = 2**20
LIMIT = 32 * MIB

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
    tokens = multiply(tmp_path / "small", tmp_path / "large", times=240)
    assert tokens.stat().st_size > 10 * LIMIT
    folders = [str(path) for path in (tmp_path / "small", tmp_path / "large", tokens, tmp_path / "runs")]
    options = ["data=csv", f"data.path={source}", "data.vocab_size=300"]
    # The system's allocator, as the others reserve a gigabyte at their first use and this hides what is taken later.
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "ARROW_DEFAULT_MEMORY_POOL": "system"}
    command = [sys.executable, "-c", TRAIN, str(LIMIT), *folders, *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["trained", "the tokens alone do not fit"]
