"""Let an editor complete and check the files in configs/, by the signatures and docstrings of the classes they name.

python -m kindling.cli.schemas     make schemas does it, too

It writes a JSON schema for each command and each group to .vscode/schemas, and .vscode/settings.json, which tells them
to the YAML extension of VS Code (redhat.vscode-yaml). Run it again when a class or a config has got another argument.
"""

import json
import sys
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..exits import MISTAKE
from ..files import new_file
from .config_schemas import Configs

FOLDER = ".vscode/schemas"
SETTINGS = ".vscode/settings.json"
OPTION = "yaml.schemas"


def write(root: Path) -> list[str]:
    """Write the schemas of the configs in a project, and return the lines that say what was done.

    Settings that are there stay as they are.
    """
    places = {}
    for pattern, schema in Configs(root).schemas().items():
        name = pattern.removeprefix("configs/").removesuffix(".yaml").removesuffix("/*").replace("/", "-")
        places[f"./{FOLDER}/{name}.json"] = pattern
        _write(root / FOLDER / f"{name}.json", schema)
    lines = [f"{len(places)} schemas in {FOLDER}"]
    settings = {OPTION: places}
    file = root / SETTINGS
    if not file.exists():
        _write(file, settings)
        return [*lines, f"{SETTINGS} tells them to the YAML extension of VS Code"]
    try:
        told = json.loads(file.read_text(encoding="utf-8")).get(OPTION) == places
    except ValueError:  # VS Code takes comments there
        told = False
    return lines if told else [*lines, f"{SETTINGS} is yours and stays; put this into it: {json.dumps(settings)}"]


def _write(path: Path, content: dict[str, Any]) -> None:
    with new_file(path) as new:
        new.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        print("\n".join(write(Path.cwd())))
    except UsageError as error:
        print(f"schemas: {error}", file=sys.stderr)
        sys.exit(MISTAKE)
