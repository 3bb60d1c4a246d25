"""Kind of source that reads a file, by its content: for `--source PATH` without a kind."""

from __future__ import annotations

from pathlib import Path

from monitor.errors import SourceError, plain_line
from monitor.sources.files.foreign import BRAINVISION, HEAD_BYTES, bare_samples, is_edf, is_text, named_format

__all__ = ["recognised"]

_WFDB_FILES = (".dat", ".atr", ".hea")


def recognised(text: str) -> tuple[str, str] | None:
    """Kind of source and its path, e.g. `("edf", "night.edf")`, of a file; None where `text` names no file.

    A WFDB record is named by its header, by a file beside it, or without suffix.

    Raises:
        SourceError: a file that no source reads, with its format where that has a name, and a remedy; a folder; a path
            at which there is no file.
    """
    try:
        path = Path(text).expanduser()
        if (path.parent / f"{path.name}.hea").is_file():  # `.` and `..` have no name
            return "wfdb", text
        if path.suffix in _WFDB_FILES and path.with_suffix(".hea").is_file():
            return "wfdb", str(Path(text).with_suffix(""))
        if not path.is_file():
            _check_absent(text, path)
            return None
    except PermissionError as error:
        raise SourceError(f"{text} cannot be read ({error.strerror})") from None
    except (OSError, ValueError, RuntimeError):  # no name of a file: too long, a NUL, no such user
        return None
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise SourceError(f"{text} cannot be read ({error.strerror})") from None
    if head.startswith(b"\xffBIOSEMI") or is_edf(head):
        return "edf", text
    if head.startswith(b"ISHNE1.0"):
        return "ishne", text
    if (named := named_format(head)) is not None:
        raise SourceError(f"{text} is {named[0]}; {named[1]}")
    if path.with_suffix(".vhdr").is_file():
        raise SourceError(f"{text} is a part of a BrainVision recording; {BRAINVISION[1]}")
    if not is_text(head):
        raise SourceError(f"{text} is a binary file of no known format; {bare_samples(path)}")
    return "csv", text


def _check_absent(text: str, path: Path) -> None:
    """Refuse a folder, and a path at which there is no file; a mere word may be an unknown kind of source.

    Raises:
        SourceError: as said; OSError: the path cannot be.
    """
    if text and path.is_dir():
        raise SourceError(f"{plain_line(text)}: a folder; name a record in it (ecg-monitor score reads them all)")
    kind, colon, _ = text.partition(":")
    if (not colon or len(kind) == 1) and (path.suffix or path.name != text):  # `C:\...` has a colon, too
        raise SourceError(f"{plain_line(text)}: no such file")
