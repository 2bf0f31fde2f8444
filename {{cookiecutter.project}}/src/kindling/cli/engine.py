"""Say in one line whether the engine is as Kindling delivered it.

python -m kindling.cli.engine      make check ends with it

The line is information: the exit code is 0 either way. `.kindling.json` holds what was delivered. The template's hook
wrote it when the project was baked, and `make update` writes it anew.
"""

import hashlib
import json
from pathlib import Path

# The hook runs this file by itself, on any Python that cookiecutter knows: the standard library is all that it imports.
ENGINE = Path("src/kindling")
RECORD = Path(".kindling.json")
SHOWN = 5  # files that a line names


def digests(folder: Path) -> dict[str, str]:
    """Return a digest of every file by its path in `folder`; caches, hidden files, kinds of line ends don't count."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in name.parts):
            content = path.read_bytes().replace(b"\r\n", b"\n")
            found[name.as_posix()] = hashlib.sha256(content).hexdigest()[:16]
    return found


def changes(delivered: dict[str, str], present: dict[str, str]) -> list[str]:
    """Return the files that differ, each with what happened to it, such as `cli/check.py (changed)`."""
    words = dict.fromkeys(delivered.keys() & present.keys(), "changed")
    words |= dict.fromkeys(delivered.keys() - present.keys(), "removed")
    words |= dict.fromkeys(present.keys() - delivered.keys(), "added")
    return [f"{name} ({words[name]})" for name in sorted(words) if delivered.get(name) != present.get(name)]


def listed(names: list[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def describe(project: Path) -> str:
    """Return the line about the engine of the project in that folder."""
    if not (project / RECORD).exists():
        return f"The engine: there is no {RECORD} to compare it with."
    record = json.loads((project / RECORD).read_text(encoding="utf-8"))
    edited = changes(record["engine"], digests(project / ENGINE))
    if not edited:
        return f"The engine is as Kindling delivered it ({(record['commit'] or 'no commit')[:7]})."
    remedy = "keep that, or get Kindling's back with make update FORCE=1"
    return f"The engine in {ENGINE.as_posix()} differs from Kindling's: {listed(edited)}; {remedy}."


if __name__ == "__main__":
    print(describe(Path.cwd()))
