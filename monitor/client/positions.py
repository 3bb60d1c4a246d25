"""The position of a subscriber: the last message read of each topic, and the file that keeps it between runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from monitor.atomic_file import replace_file
from monitor.errors import PositionError

__all__ = ["Place", "Position", "load_position", "save_position"]


# The bounds of a request (monitor.bus.requests): the monitor refuses others, and the topic would wait in vain.
Epoch = Annotated[str, Meta(min_length=1, max_length=200)]
Seq = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]


class Place(msgspec.Struct, frozen=True):
    """The last message read of a topic: `seq` in the run `epoch`; 0 = none of this run."""

    epoch: Epoch
    seq: Seq


class Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last message read of each topic; a topic without one is read from the start of the run `epoch`."""

    epoch: Epoch
    topics: dict[str, Place]


_decoder: msgspec.json.Decoder[Position] = msgspec.json.Decoder(Position)


def load_position(path: Path) -> Position | None:
    """Read a position file; None if there is no file yet.

    Raises:
        PositionError: it cannot be read, or is not a position file.
    """
    try:
        return _decoder.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(path, error) from None
    except ValueError:
        raise PositionError(
            f"position {path} is not a position file of this program; give another file, or remove it to begin anew"
        ) from None


def save_position(path: Path, position: Position) -> None:
    """Replace a position file as a whole; it is on the disk on return.

    Raises:
        PositionError: it cannot be written.
    """
    try:
        replace_file(path, msgspec.json.encode(position) + b"\n", durable=True)
    except OSError as error:
        raise _unusable(path, error) from None


def _unusable(path: Path, error: OSError) -> PositionError:
    return PositionError(f"position {path}: {error.strerror}; give a file that can be read and written")
