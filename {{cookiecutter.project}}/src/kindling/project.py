"""Where the project is, which packages are its own, and what of it a checkpoint may name."""

import os
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1]  # the folder that this engine was imported from: a project's src/

_trusted: set[str] = set()


def root() -> Path:
    """Return the folder of the command that runs, or the current one in a notebook."""
    return Path(os.environ.get("PROJECT_ROOT", ".")).resolve()


def is_installed(command: Path) -> bool:
    """Whether a command came in a wheel, inside of the project's package."""
    return command.parent.name == "commands" and Path(command.parents[1], "__init__.py").is_file()


def home(command: Path) -> Path:
    """Return where data and runs of a command go: its project, or the current folder if it came in a wheel."""
    return Path.cwd() if is_installed(command) else command.parent


def trust(name: str) -> None:
    """Let checkpoints build what `name` names: docs/safety.md says what that is.

    Args:
        name: A package or a module, whose models, metrics, data and tasks may be built, but none of its other classes
            and functions; or one of these by itself, such as `my_models.make_network`.
    """
    _trusted.add(name)


def trusted() -> set[str]:
    """Return the packages, one of which has been named to `trust` itself or holds what was named."""
    return {name.partition(".")[0] for name in _trusted}


def trusted_names() -> frozenset[str]:
    """Return the names of packages, modules, classes and functions, as they were given to `trust`."""
    return frozenset(_trusted)


def own_packages(folder: Path) -> list[str]:
    """Return the names of the packages in the project's `src/`, the engine's left out."""
    found = sorted(path.parent.name for path in folder.glob("src/*/__init__.py"))
    return [name for name in found if name != __package__]


def run_own_code(file: Path) -> None:
    """Start again with the packages beside the command, if other copies of them would be imported.

    An editable install leads to the folder where it was made; DVC runs queued experiments in a copy of the project, and
    git has worktrees.
    """
    source = file.parent / "src"
    path = [str(source), *filter(None, [os.environ.get("PYTHONPATH")])]
    if Path(source, __package__).is_dir() and source != SOURCE and path[0] not in sys.path:
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"PYTHONPATH": os.pathsep.join(path)})
    for package in [file.parents[1].name] if is_installed(file) else own_packages(file.parent):
        trust(package)
