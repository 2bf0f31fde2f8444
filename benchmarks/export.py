"""Write the training split of a dataset of the baked project as plain arrays. `prepare.py` runs this in the project.

python export.py <folder> <batch sizes> <seeds> <options of train.py>...
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate


def main(folder: Path, batch_sizes: list[int], seeds: list[int], options: list[str]) -> dict[str, Any]:
    """Write the arrays and the batches of the first epoch, and return the facts about them."""
    os.environ["PROJECT_ROOT"] = os.getcwd()
    importlib.import_module("kindling.cli.resolvers").register_resolvers()
    with initialize_config_dir(version_base="1.3", config_dir=f"{os.getcwd()}/configs"):
        data = instantiate(compose("train", options).data)
    start = time.process_time()
    data.prepare_data()
    seconds = time.process_time() - start
    facts: dict[str, Any] = {}
    data.setup()
    rows = data.splits["train"]
    np.save(folder / "targets.npy", data.targets(rows).numpy())
    if hasattr(data, "tokens"):
        lengths = data.lengths(rows)
        np.save(folder / "offsets.npy", np.concatenate([[0], np.cumsum(lengths)]))
        np.save(
            folder / "tokens.npy", np.concatenate([data.tokens[data.offsets[r] : data.offsets[r + 1]] for r in rows])
        )
        (folder / "tokenizer.json").write_text(data.tokenizer.definition, encoding="utf-8")
        facts["tokenizing_cpu_seconds"] = round(seconds, 2)
        facts["tokens"] = {"mean": lengths.mean(), "max": lengths.max()}
        facts["tokens"] |= {f"p{share}": np.percentile(lengths, share) for share in (50, 95)}
        facts["tokens"] = {name: round(float(value), 1) for name, value in facts["tokens"].items()}
    else:
        np.save(folder / "inputs.npy", data.columns["inputs"].values.numpy()[rows])
    for batch_size in batch_sizes:
        for seed in seeds:
            data.batch_size, data.seed = batch_size, seed
            batches = order(data)
            ends = np.cumsum([len(batch) for batch in batches])
            places = np.searchsorted(rows, np.concatenate(batches))
            np.savez(folder / f"order-{batch_size}-{seed}.npz", rows=places, ends=ends)
    return facts | {"training_samples": len(rows)}


def order(data: Any) -> list[np.ndarray]:
    """Return the rows that each batch of the first epoch gathers."""
    batches: list[np.ndarray] = []

    def keep(rows: np.ndarray) -> dict[str, Any]:
        batches.append(rows)
        return {}

    data.inputs = keep
    for _ in data.train_dataloader():
        pass
    del data.inputs
    return batches


if __name__ == "__main__":
    folder, batch_sizes, seeds, *options = sys.argv[1:]
    print(json.dumps(main(Path(folder), json.loads(batch_sizes), json.loads(seeds), options)))
