"""What W&B has written to disk: its own file is the one witness of a run that was killed."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2 as messages

BLOCK = 32_768  # the log format of LevelDB: blocks with records, and records in pieces that end with their block
HEADER = struct.Struct("<IHB")  # checksum, length, and whether it is whole (1), the first (2) or the last piece (4)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of metrics in a .wandb file, without what W&B adds; one that was cut off is left out."""
    for content in _records(path.read_bytes()):
        record: Any = messages.Record.FromString(content)
        if record.WhichOneof("record_type") == "history":
            items = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
            yield {name: json.loads(value) for name, value in items.items() if not name.startswith("_")}


def _records(file: bytes) -> Iterator[bytes]:
    position, piece = 7, b""  # after the file's own header
    while position + HEADER.size <= len(file):
        left = BLOCK - position % BLOCK
        length, kind = HEADER.unpack_from(file, position)[1:] if left >= HEADER.size else (0, 0)
        if kind == 0:  # padding
            position += left
            continue
        position += HEADER.size
        content = file[position : position + length]
        if len(content) < length:
            return
        position += length
        piece = content if kind in (1, 2) else piece + content
        if kind in (1, 4):
            yield piece
