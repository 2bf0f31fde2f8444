"""Check what datasets say of themselves, and show it as a table in Markdown.

python .github/scripts/dataset_facts.py data/*
"""

import hashlib
import json
import sys
from pathlib import Path


def problems(folder: Path) -> list[str]:
    """Say what is wrong with the dataset in `folder`."""
    facts = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    splits, classes = facts["splits"], facts["classes"]
    md5 = hashlib.md5((folder / "samples.parquet").read_bytes()).hexdigest()
    checks = {
        "samples.parquet is not the file that dataset.json was written for": facts["md5"] == md5,
        "a split is missing or empty": all(splits.get(name) for name in ("train", "val", "test")),
        "the splits do not add up to all samples": sum(splits.values()) == facts["num_samples"],
        "the classes do not add up to all samples": not classes or sum(classes.values()) == facts["num_samples"],
        "there is one class only": len(classes) != 1,
    }
    return [problem for problem, holds in checks.items() if not holds]


def row(folder: Path) -> str:
    """Return the sizes of the dataset in `folder` and of its splits."""
    facts = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    splits = [facts["splits"].get(name, 0) for name in ("train", "val", "test")]
    cells = [folder.name, facts["num_samples"], *splits, len(facts["classes"]) or "", facts["md5"]]
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    folders = [Path(name) for name in sys.argv[1:] if Path(name, "dataset.json").exists()]
    if not folders:
        sys.exit(f"no dataset in {' '.join(sys.argv[1:]) or 'no folder'}")
    print("| dataset | samples | train | val | test | classes | MD5 |\n| --- | --: | --: | --: | --: | --: | --- |")
    print("\n".join(map(row, folders)))
    if wrong := [f"{folder}: {problem}" for folder in folders for problem in problems(folder)]:
        sys.exit("\n".join(wrong))
