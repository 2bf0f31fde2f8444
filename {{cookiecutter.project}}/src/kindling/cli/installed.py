"""The commands of a project that was installed: `<project>-train` runs `train.py`, with the configs that came along."""

import runpy
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from ..project import SOURCE, is_installed


def main() -> None:
    """Run the command that the name of this script ends with: `make_dataset.py` for `<project>-make-dataset`."""
    script = Path(sys.argv[0]).name.removesuffix(".exe")
    command = find(script)
    if command is None:
        sys.exit(f"{script}: its command is not there; install the project again")
    sys.argv[0] = str(command)
    runpy.run_path(sys.argv[0], run_name="__main__")


def find(script: str) -> Path | None:
    """Return the command's file: of the distribution that brought the script, or of the project that this engine is in.

    Installed as editable, a project's commands are those in its folder.
    """
    inside = [file for point in entry_points(group="console_scripts", name=script) for file in _commands(point)]
    files = [*inside, *sorted(SOURCE.parent.glob("*.py"))]
    return next((file for file in files if script.endswith(f"-{file.stem.replace('_', '-')}")), None)


def _commands(point: EntryPoint) -> list[Path]:
    files = (point.dist and point.dist.files) or []
    found = [Path(str(file.locate())) for file in files if file.parent.name == "commands"]
    return [file for file in found if file.suffix == ".py" and is_installed(file)]
