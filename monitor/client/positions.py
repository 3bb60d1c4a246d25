"""How far a subscriber has read: told by the client, kept in a file, given to the client of the next start."""

from __future__ import annotations

from pathlib import Path

import msgspec

from monitor.errors import PositionError

__all__ = ["Position", "load_position", "save_position"]


class Place(msgspec.Struct, frozen=True):
    """The last message of a topic that was read: `seq` of the run `epoch`; 0 = none of it."""

    epoch: str
    seq: int


class Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last message of each topic that was read.

    Attributes:
        epoch: run of the monitor in which reading began: a topic that is not in `topics` is read from there.
        topics: topic -> last message.
    """

    epoch: str
    topics: dict[str, Place]


_decoder: msgspec.json.Decoder[Position] = msgspec.json.Decoder(Position)


def load_position(path: Path) -> Position | None:
    """The position in a file; None where there is no file yet.

    Raises:
        PositionError: it cannot be read, or holds no position.
    """
    try:
        return _decoder.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PositionError(f"position {path}: {error.strerror}; name a file that can be read and written") from None
    except ValueError:
        raise PositionError(
            f"position {path} is not one that this program wrote; name another file, or remove it to begin anew"
        ) from None


def save_position(path: Path, position: Position) -> None:
    """Replace a file by a position, whole or not at all.

    Raises:
        PositionError: it cannot be written.
    """
    new = path.with_name(path.name + ".new")
    try:
        new.write_bytes(msgspec.json.encode(position) + b"\n")
        new.replace(path)
    except OSError as error:
        raise PositionError(f"position {path}: {error.strerror}; name a file that can be read and written") from None
