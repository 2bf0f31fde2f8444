"""A comparison as plain data, for programs: docs/comparing.md describes each field."""

from collections.abc import Sequence
from typing import Any

from ..errors import short
from ..runs.run import Run
from .rows import Row, Section
from .significance import Difference


def comparison_facts(sections: Sequence[Section], runs: Sequence[Run]) -> dict[str, Any]:
    """Return what a comparison found, in full precision."""
    return {
        "runs": len(runs),
        "sections": [_section_facts(section) for section in sections],
        "unfinished": [
            {"run": short(run.folder), "status": run.status, "epoch": run.epoch, "error": run.error}
            for run in runs
            if not run.finished
        ],
    }


def _section_facts(section: Section) -> dict[str, Any]:
    differences = dict(zip(map(id, section.ranked[1:]), section.differences, strict=True))
    return {
        "data": section.data,
        "task": section.task,
        "metric": section.metric,
        "mode": section.mode,
        "settings": section.keys,
        "comparisons": section.comparisons,
        "rows": [_row_facts(section, row, differences.get(id(row))) for row in section.rows],
    }


def _row_facts(section: Section, row: Row, difference: Difference | None) -> dict[str, Any]:
    return {
        "settings": row.values,
        "status": row.status,
        "runs": [short(run.folder) for run in row.runs],
        "metrics": {
            name: {
                "mean": row.mean(name),
                "deviation": row.deviation(name),
                "values": [
                    {"seed": seed, "fold": fold, "value": value} for (seed, _, fold), value in row.repeats(name).items()
                ],
            }
            for name in section.metrics
            if row.repeats(name)
        },
        "seconds": row.mean_of("seconds"),
        "parameters": row.mean_of("parameters"),
        "difference": difference and _difference_facts(difference),
    }


def _difference_facts(found: Difference) -> dict[str, Any]:
    return {
        "mean": found.mean,
        "interval": [found.low, found.high],
        "pairs": found.pairs,
        "of": "folds" if found.folds else "seeds",
        "p": found.p,
        "p_corrected": found.p_corrected,
        "p_sign_flips": found.p_flipped,
        "verdict": found.verdict,
    }
