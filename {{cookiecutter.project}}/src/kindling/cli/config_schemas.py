"""JSON schemas of the files in configs/: of each command's file, and of the files of each group."""

import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from ..errors import UsageError, short
from ..project import own_packages
from .arguments import KEYWORDS, NODE, PLAIN, TEXT, Schema, argument_schemas, lenient, target_schema
from .proposed import proposed

GLOBAL = "# @package _global_"  # a file whose keys are those of the whole configuration
COMMANDS = ("train", "evaluate", "predict", "compare", "make_dataset")
COMMENT = re.compile(r"^(\w+):.*?(?:^|\s)# (.+)$", re.MULTILINE)
# What the keys of a group without a class mean.
OF_GROUP = {"scheduler": "pytorch_lightning.utilities.types.LRSchedulerConfig"}
ANYTHING = ("hydra",)  # groups that Hydra itself describes
DEFAULTS: Schema = {
    "type": "array",
    "description": "The files that this one begins with; the last one wins, and _self_ is this file.",
    "items": {"anyOf": [TEXT, {"type": "object"}]},
}


class Configs:
    """The files in a project's configs/, and the schemas of them.

    Args:
        root: The project.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "configs"
        folders = [path for path in sorted(self.folder.rglob("*")) if path.is_dir() and any(path.glob("*.yaml"))]
        self.groups = [path.relative_to(self.folder).as_posix() for path in folders]
        if not self.folder.is_dir():
            raise UsageError(f"{short(self.folder)}: there is no such folder; run this in the folder of train.py")
        self.files = {path: _read(path) for path in sorted(self.folder.rglob("*.yaml"))}

    def schemas(self) -> dict[str, Schema]:
        """Return the schema of each kind of file by its pattern, such as `configs/model/*.yaml`."""
        found = {f"configs/{name}.yaml": self._whole(name) for name in COMMANDS if self._has(name)}
        for group in self.groups:
            pattern = f"configs/{group}/*.yaml"
            if group.partition("/")[0] not in ANYTHING:
                found[pattern] = self._whole("train") if self._is_global(group) else self._of_group(group)
        return {pattern: self._complete(schema, pattern) for pattern, schema in found.items()}

    def _of_group(self, group: str) -> Schema:
        """Return the schema of a file of a group, which may have the keys of all the classes that the group names."""
        contents = self._contents(group)
        if group == "user":
            values = {"anyOf": [TEXT, PLAIN[None]]}
            return {"patternProperties": {"^[A-Z][A-Z0-9_]*$": values}, "additionalProperties": False}
        if self._is_named(group):
            return {"properties": {"defaults": DEFAULTS} | self._inside(group), "additionalProperties": NODE}
        outer = group.partition("/")[0]
        targets = _distinct(content.get("_target_") for content in [*contents, *self._contents(outer)])
        merged = _merged([OF_GROUP[outer]] if outer in OF_GROUP else targets, contents) or self._inferred(group)
        keys = {"defaults": DEFAULTS} | {name: merged[name] for name in _nulls(contents) if name in merged}
        without = {"properties": KEYWORDS | merged | keys, "additionalProperties": False}
        return {
            "properties": {"_target_": self._target(group)},
            "allOf": [_if_target(target, target_schema(target, keys)) for target in self._known(group)]
            + [{"if": {"not": {"required": ["_target_"]}}, "then": without}],
        }

    def _inside(self, group: str) -> dict[str, Schema]:
        """Return the schema of each part of a group of which a command takes several, such as callbacks."""
        parts: dict[str, list[dict[str, Any]]] = {}
        for content in self._contents(group):
            for name, part in content.items():
                parts.setdefault(name, []).append(part)
        found = {name: _distinct(part.get("_target_") for part in contents) for name, contents in parts.items()}
        return {name: _partial(targets, parts[name]) for name, targets in found.items() if targets}

    def _whole(self, command: str) -> Schema:
        """Return the schema of a command's file, or of one that changes parts of it."""
        groups = self._groups_of(command)
        keys = self._inferred(command)
        for group in self.groups if command == "train" else ():
            if self._is_global(group):
                keys = self._inferred(group) | keys
        for group in groups:
            if group not in ANYTHING and "/" not in group:
                keys[group] = self._part(group)
        keys |= {"defaults": DEFAULTS, "hydra": {"type": "object", "description": "Options of Hydra itself."}}
        if "sweep" in keys:
            own = {
                name: _of_value(v)
                for content in self._contents("sweep")
                for name, v in content.get("sweep", {}).items()
            }
            keys["sweep"] = _object({"sampler": NODE, "pruner": NODE} | own | self._inferred("sweep/base"), closed=True)
        return {"properties": keys, "additionalProperties": False}

    def _part(self, group: str) -> Schema:
        """Return the schema of what a group has filled, as a file that changes it may write it."""
        contents = self._contents(group)
        if self._is_global(group):
            contents = [content.get(group) or {} for content in contents]
        if group in OF_GROUP:
            return _partial([OF_GROUP[group]], contents)
        if targets := _distinct(content.get("_target_") for content in contents):
            return _partial(targets, contents)
        if self._is_global(group):
            return _object({})
        return _object(self._inside(group), NODE) if self._is_named(group) else _object(self._inferred(group))

    def _inferred(self, *places: str) -> dict[str, Schema]:
        """Return what the values of files without a class tell of their keys, and their comments."""
        found: dict[str, list[Schema]] = {}
        said: dict[str, str] = {}
        for path, content in self.files.items():
            name = path.relative_to(self.folder).with_suffix("").as_posix()
            if name in places or name.rpartition("/")[0] in places:
                said |= dict(COMMENT.findall(path.read_text(encoding="utf-8")))
                for key, value in content.items():
                    found.setdefault(key, []).append(_of_value(value))
        return {
            key: _any_of(schemas) | ({"description": said[key]} if key in said else {})
            for key, schemas in found.items()
        }

    def _complete(self, schema: Schema, pattern: str) -> Schema:
        """Return a file's schema with the definition of a part that names a class of its own."""
        place = pattern.removeprefix("configs/").removesuffix(".yaml").removesuffix("/*")
        known = self._known(place)
        node: Schema = {"type": "object", "properties": KEYWORDS | {"_target_": self._target(place)}}
        if known:
            node["allOf"] = [_if_target(target, target_schema(target)) for target in known]
        title = f"{pattern}, by make schemas"
        start = {"$schema": "http://json-schema.org/draft-07/schema#", "title": title, "type": ["object", "null"]}
        return start | schema | {"definitions": {"node": node}}

    def _target(self, place: str) -> Schema:
        """Return the schema of the name of a class, which may be one that nobody knows of yet."""
        known = self._known(place)
        return KEYWORDS["_target_"] | ({"anyOf": [{"enum": known}, TEXT]} if known else {})

    @functools.cache  # noqa: B019, as there is one of it
    def _known(self, place: str) -> list[str]:
        """Return the classes that a file of a command or a group names, or may want."""
        files = [self.folder / f"{place}.yaml", *(self.folder / place).glob("*.yaml")]
        used = _targets([content for path, content in self.files.items() if path in files])
        return _distinct([*used, *proposed(place, own_packages(self.root))])

    def _contents(self, group: str) -> list[dict[str, Any]]:
        files = [content for path, content in self.files.items() if path.parent == self.folder / group]
        return [{name: value for name, value in content.items() if name != "defaults"} for content in files]

    def _is_named(self, group: str) -> bool:
        """Whether a command takes several of the group, each by its name."""
        return all(isinstance(value, dict) for content in self._contents(group) for value in content.values())

    def _groups_of(self, command: str) -> list[str]:
        listed = self.files[self.folder / f"{command}.yaml"].get("defaults", [])
        names = [name for entry in listed if isinstance(entry, dict) for name in entry]
        return [name.removeprefix("override ").lstrip("/") for name in names]

    def _is_global(self, group: str) -> bool:
        return any(GLOBAL in path.read_text(encoding="utf-8") for path in (self.folder / group).glob("*.yaml"))

    def _has(self, command: str) -> bool:
        return self.folder / f"{command}.yaml" in self.files


def _read(path: Path) -> dict[str, Any]:
    """Return what Hydra reads in a file: 1e-3 is a number, and interpolations are texts."""
    try:
        found: Any = OmegaConf.to_container(OmegaConf.load(path))
    except (ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{short(path)}: it can't be read ({' '.join(str(error).split())})") from None
    return found if isinstance(found, dict) else {}


def _object(properties: dict[str, Schema], others: Schema | None = None, closed: bool = False) -> Schema:
    """Return the schema of a part with these keys; and others, unless it is closed, of any kind or of that one."""
    more = {"additionalProperties": False} if closed else {"additionalProperties": others} if others else {}
    return {"type": ["object", "null"], "properties": properties} | more


def _merged(targets: list[str], contents: list[dict[str, Any]]) -> dict[str, Schema]:
    """Return the schema of each argument of several classes; null is one where a file says so."""
    found: dict[str, list[Schema]] = {name: [PLAIN[None]] for name in _nulls(contents)}
    known = dict[str, list[Schema]]()
    for target in targets:
        for name, schema in argument_schemas(target).items():
            known.setdefault(name, []).append(schema)
    return {name: _any_of(schemas + found.get(name, [])) for name, schemas in known.items()}


def _nulls(contents: list[dict[str, Any]]) -> list[str]:
    return _distinct(name for content in contents for name, value in content.items() if value is None)


def _partial(targets: list[str], contents: list[dict[str, Any]]) -> Schema:
    """Return the schema of a part that changes arguments of one of these classes, or names another one."""
    keys = _merged(targets, contents)
    own = {"properties": KEYWORDS | keys}
    closed = own | ({"additionalProperties": False} if keys else {})
    schema = {"if": {"not": {"required": ["_target_"]}}, "then": closed, "else": NODE}
    return {"anyOf": [{"type": "object"} | schema, {"type": ["null", "string"]}]}


def _if_target(target: str, schema: Schema) -> Schema:
    return {"if": {"properties": {"_target_": {"const": target}}, "required": ["_target_"]}, "then": schema}


def _any_of(schemas: list[Schema]) -> Schema:
    """Return a schema that takes what one of them takes."""
    different = [schema for place, schema in enumerate(schemas) if schema not in schemas[:place]]
    if len(different) == 1:
        return different[0]
    return {"anyOf": different} if all(different) else {}


def _of_value(value: Any) -> Schema:
    """Return the schema of values like this one; null tells nothing, and null is always one."""
    if isinstance(value, dict):
        return NODE if "_target_" in value else _object({name: _of_value(inner) for name, inner in value.items()})
    if isinstance(value, list):
        return lenient({"anyOf": [{"type": "array"}, PLAIN[None]]})
    if value is None or isinstance(value, str):
        return {} if value is None or "${" in value else {"type": ["string", "null"]}
    return lenient({"anyOf": [PLAIN[type(value)], PLAIN[None]]})


def _targets(node: Any) -> Iterator[str]:
    """Yield what the parts of a config name."""
    if isinstance(node, dict):
        if isinstance(node.get("_target_"), str):
            yield node["_target_"]
        node = list(node.values())
    for inner in node if isinstance(node, list) else ():
        yield from _targets(inner)


def _distinct(values: Iterable[str | None]) -> list[str]:
    return [value for value in dict.fromkeys(values) if value and value != "???"]
