"""JSON Schema of the messages of the bus and of the source `zmq:`: `python -m monitor.commands.schema` writes it.

The files in `monitor/schema/` are for subscribers in other languages. A test compares them with the structs.
"""

from __future__ import annotations

import inspect
import json
import typing
from pathlib import Path
from typing import Any

import msgspec

from monitor.messages import Message, Reply, Request
from monitor.sources.live.zmq_samples import SamplesHeader

__all__ = ["FOLDER", "KINDS", "schemas"]

FOLDER = Path(__file__).parents[1] / "schema"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
KINDS: dict[str, type[msgspec.Struct]] = {  # file name -> struct
    f"{kind.__struct_config__.tag}.json".replace("/", "-"): kind for kind in (*typing.get_args(Message), SamplesHeader)
} | {"request-1.json": Request, "reply-1.json": Reply}


def schemas() -> dict[str, str]:
    """File name to file content, for every message.

    >>> sorted(schemas())[0]
    'alarm-1.json'
    """
    return {name: json.dumps(_schema(name, kind), indent=2, ensure_ascii=False) + "\n" for name, kind in KINDS.items()}


def _schema(file: str, kind: type[msgspec.Struct]) -> dict[str, Any]:
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
    return {"$schema": DIALECT, "$id": f"urn:ecg-monitor:{file}", **made}


if __name__ == "__main__":
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for file_name, text in schemas().items():
        (FOLDER / file_name).write_text(text, encoding="utf-8")
