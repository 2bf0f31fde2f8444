"""Compare runs.

python compare.py runs/                                     all runs in a folder, at any depth
python compare.py runs/2026-11-20 runs/x metric=test/f1     of several folders, by another metric
python compare.py runs/ rows=20 output=reports json=-      the best twenty rows, files elsewhere, and JSON
"""

from functools import partial
from pathlib import Path

import hydra
from omegaconf import DictConfig

from kindling.cli.command import command
from kindling.json_output import json_output


@partial(command, positional="runs")
@hydra.main(version_base="1.3", config_path="configs", config_name="compare")
def main(cfg: DictConfig) -> None:
    """Print what the runs have reached and whether the best is better by more than chance; write it to four files."""
    # Imported here, so that --help does not wait for them.
    from kindling.compare.facts import comparison_facts
    from kindling.compare.output import print_comparison, write_comparison
    from kindling.compare.rows import compare, judge
    from kindling.runs.run import find_runs, read_run

    runs = [read_run(folder) for folder in find_runs(list(cfg.runs))]
    for section in (sections := compare(runs, cfg.metric, cfg.mode)):
        judge(section)
    with json_output(cfg.json) as found:
        write_comparison(output := Path(cfg.output or cfg.runs[0]), sections, runs, cfg.rows, cfg.format)
        print_comparison(sections, runs, cfg.rows)
        print(f"\nWritten: {output / 'comparison.html'}, .md, .csv and .{cfg.format}")
        found |= comparison_facts(sections, runs)


if __name__ == "__main__":
    main()
