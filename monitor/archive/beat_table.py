"""Beats as Parquet, written in row groups: memory does not grow with the record."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from monitor.atomic_file import sync_file
from monitor.errors import ConfigError
from monitor.messages import BeatMessage

__all__ = ["COLUMNS", "BeatTable", "arrow_schema", "pyarrow_or_error"]

# Name, type and meaning of each column; docs/many-beds.md has the same table (tested).
COLUMNS: Final[tuple[tuple[str, str, str], ...]] = (
    ("r_sample", "int64", "R-peak, samples of the record from its sample 0"),
    ("time_s", "double", "R-peak, s from sample 0 of the record"),
    ("rr_s", "double", "RR interval to the beat before, s; null after a gap and at the start"),
    ("heart_rate_bpm", "double", "mean of the last RR intervals (4 to 8), beats a minute; null where not known"),
    ("log_prob", "double", "log p(x), nats, higher = more normal; null where not scored"),
    ("score", "double", "anomaly score, all evidence together, higher = more anomalous; null where not scored"),
    ("threshold", "double", "score over which a beat of this patient was anomalous then; null where not scored"),
    ("p_value", "double", "p-value against the patient's own beats, 0 to 1; null where not scored"),
    ("anomalous", "bool", "p-value under alpha"),
    ("quality", "string", "good, or why the beat was not scored (docs/quality.md)"),
    ("words", "list<element: string>", "why an anomalous beat is unusual, e.g. wide, early; empty for others"),
)
_AS_MESSAGE: Final = operator.attrgetter(*(name for name, _, _ in COLUMNS[2:]))  # same names in the message
_ROWS: Final = 16_384  # per row group: about four hours


def pyarrow_or_error() -> Any:
    """pyarrow, which writes Parquet, or ConfigError where it is not installed."""
    try:
        import pyarrow
    except ImportError as error:
        raise ConfigError(f"score: Parquet needs pyarrow ({error}); pip install 'ecg-monitor[archive]'") from None
    return pyarrow


def arrow_schema(columns: Sequence[tuple[str, str, str]], metadata: dict[str, str] | None = None) -> Any:
    """Schema of a table with the meaning of each column as its description."""
    arrow = pyarrow_or_error()
    types = {
        "double": arrow.float64(),
        "bool": arrow.bool_(),
        "int64": arrow.int64(),
        "string": arrow.string(),
        "list<element: string>": arrow.list_(arrow.string()),
    }
    fields = [arrow.field(name, types[kind], metadata={"description": meaning}) for name, kind, meaning in columns]
    return arrow.schema(fields, metadata=metadata)


class BeatTable:
    """A Parquet file of beats, in order of their R-peaks.

    Args:
        path: of the file; must not exist.
        fs_hz: sampling rate of the record, Hz.
        metadata: further key-value metadata of the file.
    """

    def __init__(self, path: Path, fs_hz: float, metadata: dict[str, str]) -> None:
        self._arrow = pyarrow_or_error()
        import pyarrow.parquet as parquet

        self._fs_hz = fs_hz
        self._schema = arrow_schema(COLUMNS, {"fs_hz": f"{fs_hz:g}", **metadata})
        self._rows: list[tuple[Any, ...]] = []
        self._file = path.open("xb")
        self._writer = parquet.ParquetWriter(self._file, self._schema, compression="zstd")

    def put(self, beat: BeatMessage) -> None:
        """Append the next beat."""
        self._rows.append((beat.r_sample, beat.r_sample / self._fs_hz, *_AS_MESSAGE(beat)))
        if len(self._rows) >= _ROWS:
            self._flush()

    def close(self) -> None:
        """Write the remaining rows, and wait until all is on the disk."""
        self._flush()
        self._writer.close()
        self._file.flush()
        sync_file(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Close the file without finishing it; no effect after `close`."""
        with contextlib.suppress(Exception):  # the caller deletes the file
            self._writer.close()
        self._writer.is_open = False  # else the destructor tries again and prints an error
        self._file.close()

    def _flush(self) -> None:
        if not self._rows:
            return
        columns = map(list, zip(*self._rows, strict=True))
        self._writer.write_table(self._arrow.table(list(columns), schema=self._schema))
        self._rows.clear()
