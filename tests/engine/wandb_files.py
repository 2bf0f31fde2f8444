"""Read back what W&B has written without a network: one file of protocol buffers, in the log format of LevelDB."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2 as messages


@dataclass
class Piece:
    """What one process left of a run."""

    folder: Path
    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    artifacts: list[Any] = field(default_factory=list)
    exit_code: int | None = None

    @property
    def metrics(self) -> list[dict[str, Any]]:
        return [row for row in self.rows if not any(name.endswith("/_type") for name in row)]

    def media(self, name: str) -> dict[str, Any]:
        """Return what stands in place of a picture or a table."""
        (row,) = [row for row in self.rows if f"{name}/_type" in row]
        return {key.removeprefix(f"{name}/"): value for key, value in row.items()}


def read_pieces(run: Path) -> list[Piece]:
    """Return the pieces of the run in a folder, the oldest first."""
    return [_read(file.parent) for file in sorted(run.glob("wandb/*run-*/run-*.wandb")) if "latest" not in str(file)]


def _read(folder: Path) -> Piece:
    piece = Piece(folder)
    (file,) = folder.glob("run-*.wandb")
    for content in _contents(file.read_bytes()):
        record = messages.Record.FromString(content)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            piece.run = record.run
            piece.config |= _values(record.run.config.update)
        elif kind == "config":
            piece.config |= _values(record.config.update)
        elif kind == "history":
            piece.rows.append(_values(record.history.item))
        elif kind == "artifact":
            piece.artifacts.append(record.artifact)
        elif kind == "exit":
            piece.exit_code = record.exit.exit_code
    return piece


def _values(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def _contents(file: bytes) -> Iterator[bytes]:
    assert file[:4] in (b"", b":W&B"), file[:4]
    fragments: list[bytes] = []
    for start in range(0, len(file), 32768):
        block = file[start : start + 32768]
        at = 7 if start == 0 else 0
        while at + 7 <= len(block):
            _, length, kind = struct.unpack_from("<IHB", block, at)
            if kind == 0 or at + 7 + length > len(block):
                break  # padding, or cut off
            fragments.append(block[at + 7 : at + 7 + length])
            at += 7 + length
            if kind in (1, 4):
                yield b"".join(fragments)
                fragments = []
