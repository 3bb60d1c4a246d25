"""How far a receiver is, and the file that keeps it between runs: position of the subscriber and waiting alarms."""

from __future__ import annotations

from pathlib import Path

import msgspec

from monitor.atomic_file import replace_file
from monitor.client.positions import Position
from monitor.errors import PositionError
from monitor.messages import AlarmMessage, register_types

__all__ = ["Progress", "load_progress", "save_progress"]


class Progress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Up to `position` every alarm was delivered or given up, but those in `waiting`."""

    position: Position | None = None
    waiting: tuple[AlarmMessage, ...] = ()


register_types(Progress)
_decoder: msgspec.json.Decoder[Progress] = msgspec.json.Decoder(Progress)


def load_progress(path: Path) -> Progress:
    """Read the file of a receiver; empty if there is no file yet.

    Raises:
        PositionError: it cannot be read, or is not such a file.
    """
    try:
        return _decoder.decode(path.read_bytes())
    except FileNotFoundError:
        return Progress()
    except OSError as error:
        raise PositionError(f"notify {path}: {error.strerror}; make it readable, or remove it to begin anew") from None
    except ValueError:
        raise PositionError(f"notify {path} is not a file of this program; remove it to begin anew") from None


def save_progress(path: Path, progress: Progress) -> None:
    """Replace the file as a whole; it is on the disk on return. It has alarms of patients: mode 0600.

    Raises:
        PositionError: it cannot be written.
    """
    try:
        replace_file(path, msgspec.json.encode(progress) + b"\n", mode=0o600, durable=True)
    except OSError as error:
        raise PositionError(f"notify {path}: {error.strerror}; alarms may be delivered twice after a restart") from None
