"""What the YAML files in configs/ can ask, as `${num_classes:folder}`, `${stem:path}` or `${name_of:pattern}`."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from ..errors import UsageError, short
from ..runs.name import name_of

LONGEST = 120  # bytes of a folder's name, which an unfinished one beside it adds a machine's name to


def num_classes(folder: str, names: Sequence[str] | None = None) -> int:
    """Return the number of classes of the dataset in `folder`, or of the classes that have these names.

    Raises:
        UsageError: It was not made yet, or its labels are no classes.
    """
    if names:
        return len(names)
    from ..data.store import facts  # here, as --help needs none of it

    classes = facts(folder)["classes"]
    if not classes:
        remedy = "use task=regression or data.labels=classes"
        raise UsageError(f"task=classification: the labels in {short(folder)} are numbers; {remedy}")
    return len(classes)


def stem(path: str) -> str:
    """Return the name of a file without folder and suffix."""
    return slug(Path(str(path)).stem)


def slug(name: str) -> str:
    """Return `name` as the name of a folder: all but letters, digits, dots and underscores turned into hyphens.

    A name of dots alone would be another folder: it becomes `unnamed`. One that is too long for a file system is cut.
    """
    found = re.sub(r"[^\w.]+", "-", str(name)).strip("-")
    if not found.strip("."):
        return "unnamed"
    if len(found.encode()) > LONGEST:
        digest = hashlib.sha256(found.encode()).hexdigest()[:8]
        return f"{found.encode()[:LONGEST].decode(errors='ignore')}-{digest}"
    return found


def register_resolvers() -> None:
    """Make the functions above known to OmegaConf."""
    for resolver in (num_classes, stem, slug, name_of):
        OmegaConf.register_new_resolver(resolver.__name__, resolver, replace=True)
