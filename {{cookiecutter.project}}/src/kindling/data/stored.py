"""Data that `make_dataset.py` makes: samples that match a stated schema, read again as arrays."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from ..errors import UsageError, short
from ..files import new_folder
from . import splits, store
from .batch import Inputs, Target
from .columns import Column, Types, is_ragged, open_columns, pad, write_columns
from .faults import Faults, doubts
from .folder import check_replaceable, is_dataset
from .module import DataModule
from .readers import Row
from .store import HASH, SPLIT
from .values import canonical, convert, is_list, is_text, number_type

log = logging.getLogger(__name__)

IGNORED = -100  # class behind the end of a list of targets, which torch's losses leave out
EARLIER = {"splits": "hash", "bad_rows": "refuse"}  # settings that datasets of earlier versions do not state


class StoredData(DataModule):
    """Samples with the columns of a schema.

    A subclass states `schema` and `input_columns`, and yields the samples. What is no input is a target: none, one, or
    several, by name; texts among them are names of classes. A column called `split` says which split a sample belongs
    to; without it the hash of the inputs does.

    Numbers, and lists of them of a fixed or of any size, are inputs as they are; `to_inputs` makes others of them.
    """

    schema: pa.Schema
    padding: float = 0  # of inputs that are lists of any size
    bad_rows = "refuse"  # or "skip"
    embedded = False  # whether its source is on every machine, so that training makes the dataset by itself

    @property
    def stored_columns(self) -> tuple[str, ...]:
        """Columns of the schema that hold the `input_columns`."""
        return self.input_columns

    @property
    def target_columns(self) -> tuple[str, ...]:
        """Columns of the schema that hold what is to be predicted."""
        return tuple(name for name in self.schema.names if name not in (*self.stored_columns, SPLIT))

    @property
    def remedy(self) -> str:
        """What to do about a sample that does not match the schema."""
        return "mend or remove the row"

    def samples(self) -> Iterator[tuple[str, Row]]:
        """Yield (where it stands, sample) for each sample, always in the same order."""
        raise TypeError(f"{type(self).__name__} has to define samples()")

    def settings(self) -> dict[str, Any]:
        """Return what the samples depend on beside `fingerprint`: a dataset made with other settings is made anew."""
        return {"schema": ", ".join(f"{field.name} {field.type}" for field in self.schema)}

    def fingerprint(self) -> str:
        """Return a value that changes when the source of the samples changes."""
        return ""

    def about(self) -> dict[str, Any]:
        """Return more facts about the source, on which the samples do not depend."""
        return {}

    def split_key(self, sample: Row) -> bytes:
        """Return what decides a sample's split: samples of the same key share one. By default that is all inputs."""
        parts = [canonical(sample[name], self.schema.field(name).type) for name in self.stored_columns]
        return b"".join(len(part).to_bytes(8, "big") + part for part in parts)

    def to_inputs(self, values: Inputs) -> Inputs:
        """Return the model's inputs, from the values (B, ...) of each input column."""
        return values

    def convert_inputs(self, row: Row) -> Row:
        """Return a row's inputs as the schema has them, by the names of `stored_columns`.

        Raises:
            ValueError: One does not match; the message says which, and why.
        """
        return {name: self._convert(name, row.get(name)) for name in self.stored_columns}

    def problem(self, row: Row) -> str:
        try:
            self.convert_inputs(self._rename(row))
        except ValueError as error:
            return str(error)
        return ""

    def encode(self, rows: list[Row]) -> Inputs:
        found = [self.convert_inputs(self._rename(row)) for row in rows]
        values = {}
        for name in self.stored_columns:
            kind, column = self.schema.field(name).type, [row[name] for row in found]
            if is_ragged(kind):
                values[name] = pad(column, self.padding)
            else:
                values[name] = torch.from_numpy(np.array(column, number_type(kind)))
        return self.to_inputs(values)

    def make(self) -> dict[str, Any]:
        origin = {"source": type(self).__name__, "fingerprint": self.fingerprint(), "bad_rows": self.bad_rows}
        settings = self.settings() | origin
        # os.path says of a name that is too long that it is not there
        if all(os.path.exists(self.dir / name) for name in ("dataset.json", "samples.parquet")):
            facts = store.facts(self.dir)
            if facts["format"] == store.FORMAT and EARLIER | facts["settings"] == EARLIER | settings:
                log.info("%s is up to date", short(self.dir))
                return store.add_md5(self.dir, facts)
        check_replaceable(self.dir)
        log.info("Making %s", short(self.dir))
        facts = store.make(self.dir, self._checked(), self.schema, settings, self.target_columns, self.about())
        for doubt in doubts(facts):
            log.warning("%s: %s", short(self.dir), doubt)
        return facts

    def make_missing(self) -> None:
        """Make the dataset if it is not there and every machine has its source."""
        if self.embedded and not is_dataset(self.dir):
            self.make()

    def prepare_data(self) -> None:
        self.make_missing()
        types = self._mapped()
        if not types or (folder := self._folder()).exists():
            return
        facts = store.facts(self.dir)
        log.info("Writing the columns of %s as arrays (once)", short(self.dir))
        with new_folder(folder, mark="columns") as new:
            write_columns(new, self.dir, types, facts["num_samples"], list(facts["classes"]))

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        self.make_missing()
        facts = self._check_facts(store.facts(self.dir))
        size, names = facts["num_samples"], self.classes
        hashes = store.read_numbers(self.dir, HASH, np.empty(size, np.uint64), [])
        if SPLIT in self.schema.names:
            own = store.read_numbers(self.dir, SPLIT, np.empty(size, np.int8), list(splits.NAMES))
            self.splits = splits.own_splits(hashes, own, self.folds, self.fold)
        else:
            self.splits = splits.split(hashes, self.folds, self.fold)
        types = self._mapped()
        self.columns = open_columns(self._folder(), types, names) if types else {}
        self._targets = {name: self.columns.get(name) or self._read(name, size) for name in self.target_columns}

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        ragged = [column for name, column in self.columns.items() if column.offsets is not None]
        return ragged[0].lengths(rows) if ragged else super().lengths(rows)

    def inputs(self, rows: np.ndarray) -> Inputs:
        return self.to_inputs({name: self.columns[name].gather(rows, self.padding) for name in self.stored_columns})

    def targets(self, rows: np.ndarray) -> Target:
        """Return what is to be predicted, whole numbers as int64: None, a tensor, or several by their columns."""
        found = {name: _widen(column.gather(rows, IGNORED)) for name, column in self._targets.items()}
        return None if not found else next(iter(found.values())) if len(found) == 1 else found

    def _read(self, name: str, size: int) -> Column:
        """Return a column of numbers, or of names of classes, from the samples themselves."""
        kind, names = self.schema.field(name).type, self.classes
        numbers = np.dtype(np.min_scalar_type(-len(names))) if is_text(kind) else number_type(kind)
        numbers = np.dtype(np.float32) if numbers == np.float64 else numbers
        return Column(torch.from_numpy(store.read_numbers(self.dir, name, np.empty(size, numbers), names)))

    def _mapped(self) -> Types:
        """Return the types of the columns that are mapped from disk: all inputs, and targets that are lists."""
        lists = [name for name in self.target_columns if is_list(self.schema.field(name).type)]
        return {name: self.schema.field(name).type for name in (*self.stored_columns, *lists)}

    def _folder(self) -> Path:
        """Return where the arrays belong: a folder whose name changes with the samples."""
        key = json.dumps([store.facts(self.dir)["hash"], str(self.schema)]).encode()
        return self.dir / "columns" / hashlib.sha256(key).hexdigest()[:12]

    def _rename(self, row: Row) -> Row:
        return {stored: row.get(given) for given, stored in zip(self.input_columns, self.stored_columns, strict=True)}

    def _convert(self, name: str, value: Any) -> Any:
        try:
            return convert(value, self.schema.field(name).type, is_name=name in self.target_columns)
        except ValueError as error:
            raise ValueError(f"the {name} {error}") from None

    def _checked(self) -> Iterator[tuple[Row, bytes]]:
        self.faults = faults = Faults(self.bad_rows)
        for place, row in self.samples():
            try:
                sample = self.convert_inputs(row)
                sample |= {name: self._convert(name, row.get(name)) for name in self.target_columns}
                if SPLIT in self.schema.names:
                    sample[SPLIT] = splits.check_name(row.get(SPLIT))
            except ValueError as error:
                faults.add(place, str(error))
                continue
            faults.usable += 1
            if not faults.refuses:  # else the rest is only counted
                yield sample, self.split_key(sample)
        faults.end(self.remedy)

    def _check_facts(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Take over what the facts say, and return them.

        Raises:
            UsageError: The dataset was made otherwise, or is not that of the checkpoint.
        """
        if facts["format"] != store.FORMAT:
            raise UsageError(f"{short(self.dir)} was made by another version of make_dataset.py; run it again")
        if not Path(self.dir, "samples.parquet").exists():
            raise UsageError(f"{short(self.dir)}: its samples.parquet is not there; run make_dataset.py, or dvc pull")
        made_with = EARLIER | facts["settings"]
        if changed := [name for name, value in self.settings().items() if made_with.get(name) != value]:
            name = changed[0]
            raise UsageError(
                f"data.{name}={self.settings()[name]}: {short(self.dir)} was made with {made_with.get(name)}; "
                "run make_dataset.py with the same data options"
            )
        if self.classes and self.classes != list(facts["classes"]):
            there, here = ", ".join(facts["classes"]), ", ".join(self.classes)
            raise UsageError(f"{short(self.dir)} has the classes {there}, the checkpoint {here}")
        self.classes = list(facts["classes"])
        md5 = store.md5(self.dir, facts)
        if self.hash not in ("", facts["hash"]):
            told = f"(MD5 {md5[:8]}) is not what the checkpoint was trained on (MD5 {self.md5[:8] or 'unknown'})"
            log.warning("%s %s", short(self.dir), told)
        self.hash, self.md5 = facts["hash"], md5
        return facts


def _widen(target: Tensor) -> Tensor:
    return target if target.is_floating_point() else target.long()  # stored in as few bytes as they need
