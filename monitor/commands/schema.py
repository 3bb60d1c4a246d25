"""JSON Schema of the messages of the bus and of the source `zmq:`: `python -m monitor.commands.schema --write`.

The files in `monitor/schema/` are for subscribers in other languages. A test compares them with the structs.
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from monitor.messages import (
    AlarmMessage,
    BeatMessage,
    EventMessage,
    HeartbeatMessage,
    Reply,
    Request,
    StatusMessage,
    WaveHeader,
)
from monitor.sources.live.zmq_samples import SamplesHeader

__all__ = ["FOLDER", "main", "schemas"]

FOLDER = Path(__file__).parents[1] / "schema"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
KINDS: dict[str, type[msgspec.Struct]] = {
    "alarm-1.json": AlarmMessage,
    "beat-1.json": BeatMessage,
    "status-1.json": StatusMessage,
    "event-1.json": EventMessage,
    "heartbeat-1.json": HeartbeatMessage,
    "wave-1.json": WaveHeader,
    "request-1.json": Request,
    "reply-1.json": Reply,
    "samples-1.json": SamplesHeader,
}


def schemas() -> dict[str, str]:
    """File name to file content, for every message.

    >>> sorted(schemas())[0]
    'alarm-1.json'
    """
    return {name: json.dumps(_schema(kind), indent=2, ensure_ascii=False) + "\n" for name, kind in KINDS.items()}


def main(arguments: list[str]) -> int:
    """Write the files (`--write`), or list the files that differ from the structs.

    Returns:
        Exit code: 0; 1 if a file differs; 2 for an unknown argument.
    """
    wanted = schemas()
    if arguments == ["--write"]:
        FOLDER.mkdir(exist_ok=True)
        for path in set(FOLDER.glob("*.json")) - {FOLDER / name for name in wanted}:
            path.unlink()
        for name, text in wanted.items():
            (FOLDER / name).write_text(text, encoding="utf-8")
        return 0
    if arguments:
        print("usage: python -m monitor.commands.schema [--write]", file=sys.stderr)
        return 2
    present = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    different = sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))
    for name in different:
        print(f"{FOLDER / name} is out of date; run: python -m monitor.commands.schema --write", file=sys.stderr)
    return 1 if different else 0


def _schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    made = msgspec.json.schema(kind)
    for name, definition in made["$defs"].items():
        if "description" in definition:
            description = inspect.cleandoc(definition["description"])
            definition["description"] = description.partition("\n\nMany attributes:")[0]
        fields = definition.get("properties", {})
        # The structs have defaults for convenience, but the monitor sends every field of a body. `samples/1` is a
        # message to the monitor.
        if ("schema" in fields and name != "SamplesHeader") or name == "Reply":
            definition["required"] = list(fields)
    return {"$schema": DIALECT, "$id": f"urn:ecg-monitor:{_file_of(kind)}", **made}


def _file_of(kind: type[msgspec.Struct]) -> str:
    return next(name for name, other in KINDS.items() if other is kind)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
