"""Replay of WFDB records: `mitdb:208`, `nstdb:118e06`, `cudb:cu01`, `wfdb:PATH`."""

from __future__ import annotations

import difflib
import math
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.sources.base import Chunk, EndOfStream, SourceError
from monitor.sources.options import UNITS, SourceOptions, sample_span

__all__ = ["DATABASES", "WfdbSource", "find_record", "open_record"]

DATABASES = ("mitdb", "nstdb", "cudb")
PREFERRED_LEADS = ("MLII",)
# wfdb.rdrecord costs about 1.5 ms a call before it reads anything: 0.15 s for half an hour in pieces of 10 s,
# 0.016 s in pieces of this size, which is 1 MiB of float64.
PIECE_SAMPLES = 131_072


def data_folders(db: str) -> tuple[Path, Path]:
    """Where records of `db` may lie: the folder of ECG_MONITOR_DATA (if set, else the cache), and our cache."""
    from platformdirs import user_cache_dir

    cache = Path(user_cache_dir("ecg-monitor")) / db
    root = os.environ.get("ECG_MONITOR_DATA")
    return (Path(root) / db if root else cache), cache


def find_record(db: str, record: str) -> Path:
    """Path of a record without suffix: from ECG_MONITOR_DATA, else the cache, else downloaded into the cache.

    Raises:
        SourceError: no such record (names the nearest), or the download failed.
    """
    folders = data_folders(db)
    for folder in folders:
        if (folder / f"{record}.hea").is_file():
            return folder / record
    if not record or not record.replace("_", "").isalnum():
        raise SourceError(f"{db}: {record!r} is no record name; try e.g. {db}:{_EXAMPLES[db]}")
    for folder in folders:
        if (listing := folder / "RECORDS").is_file():
            names = listing.read_text(encoding="utf-8", errors="replace").split()
            if record not in names:
                raise SourceError(f"{db} has no record {record!r}{_nearest(record, names)}")
    return _download(db, record, folders[1])


_EXAMPLES = {"mitdb": "208", "nstdb": "118e06", "cudb": "cu01"}


def _nearest(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, n=5, cutoff=0.4)
    return f"; nearest: {', '.join(near)}" if near else f"; there are {', '.join(sorted(names)[:12])}"


def _download(db: str, record: str, cache: Path) -> Path:
    import wfdb

    try:
        names = wfdb.get_record_list(db)
        if record not in names:
            raise SourceError(f"{db} has no record {record!r}{_nearest(record, names)}")
        cache.mkdir(parents=True, exist_ok=True)
        wfdb.dl_database(db, str(cache), records=[record], annotators=["atr"])
    except SourceError:
        raise
    except Exception as error:  # whatever the network does, and wfdb passes on
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SourceError(
            f"{db}:{record} is neither in ECG_MONITOR_DATA nor in {cache}, and its download failed ({reason});"
            f" set ECG_MONITOR_DATA to a folder that holds {db}/{record}.hea"
        ) from None
    return cache / record


def open_record(kind: str, what: str, options: SourceOptions, name: str) -> WfdbSource:
    """Source of a record: of a database of DATABASES, or of `wfdb:PATH` (with or without `.hea`).

    Raises:
        SourceError: not found or not readable.
    """
    if kind in DATABASES:
        return WfdbSource(find_record(kind, what), options, name)
    path = Path(what.removesuffix(".hea").removesuffix(".dat")).expanduser()
    if not what or not path.with_name(path.name + ".hea").is_file():
        folder = path.parent
        names = [p.stem for p in folder.glob("*.hea")] if folder.is_dir() else []
        near = _nearest(path.name, names) if names else f"; {folder} holds no .hea file"
        raise SourceError(f"{name}: no record {path}.hea{near}")
    return WfdbSource(path, options, name)


class WfdbSource:
    """Source of one lead of a WFDB record.

    `first_sample` of its chunks counts from the record's start, so beats line up with its annotations.

    Args:
        path: the record without suffix.
        options: `channel`, `start_s`, `duration_s` are used.
        name: as a person wrote it.

    Raises:
        SourceError: header or signal cannot be read, no sample, no such channel, no voltage, start behind the end.
    """

    live = False

    def __init__(self, path: Path, options: SourceOptions, name: str) -> None:
        import wfdb

        self.name = name
        self._path = path
        try:
            header = wfdb.rdheader(str(path), rd_segments=True)
            leads = [str(lead) for lead in (header.sig_name or [])]
            self.fs_hz = float(header.fs)
        except Exception as error:  # wfdb raises whatever its parser meets
            raise SourceError(f"{name}: header {path}.hea cannot be read ({_first_line(error)})") from None
        self._channel = _choose(leads, options.channel, name)
        self.lead = leads[self._channel]
        self._mv = self._mv_per_unit(header)
        total = int(header.sig_len or 0)
        if total <= 0:
            raise SourceError(f"{name}: the record holds no sample")
        self.rails_mv = _rails_mv(header, self._channel, self._mv)
        self.start_time = _start_time(header)
        self._next, stop = sample_span(options, self.fs_hz, total, name)
        self._stop = total if stop is None else stop
        self.total_samples: int | None = self._stop - self._next
        self._piece: NDArray[np.float64] = np.empty(0)
        self._piece_first = self._next

    def read(self, max_samples: int) -> Chunk:
        """The next samples, at most `max_samples`; see Source."""
        if self._next >= self._stop:
            raise EndOfStream
        if self._next >= self._piece_first + self._piece.size:
            self._load()
        low = self._next - self._piece_first
        samples = self._piece[low : low + max(0, max_samples)].copy()
        chunk = Chunk(self._next, samples)
        self._next += samples.size
        return chunk

    def close(self) -> None:
        """Let go of the piece in memory; no file stays open between reads."""
        self._piece = np.empty(0)

    def _load(self) -> None:
        import wfdb

        stop = min(self._stop, self._next + PIECE_SAMPLES)
        try:
            record = wfdb.rdrecord(
                str(self._path), sampfrom=self._next, sampto=stop, channels=[self._channel], m2s=True
            )
        except Exception as error:
            raise SourceError(
                f"{self.name}: samples {self._next} to {stop} cannot be read ({_first_line(error)})"
            ) from None
        self._piece = np.asarray(record.p_signal[:, 0], dtype=np.float64) * self._mv
        self._piece_first = self._next

    def _mv_per_unit(self, header: Any) -> float:
        units = header.units[self._channel] if getattr(header, "units", None) else "mV"
        if (mv := {unit.lower(): factor for unit, factor in UNITS.items()}.get(str(units).lower())) is None:
            raise SourceError(f"{self.name}: channel {self.lead} is in {units}, which is no voltage")
        return mv


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _choose(leads: list[str], channel: str | int | None, name: str) -> int:
    if not leads:
        raise SourceError(f"{name}: the record holds no signal")
    if channel is None:
        return next((leads.index(lead) for lead in PREFERRED_LEADS if lead in leads), 0)
    if channel in leads:
        return leads.index(str(channel))
    if str(channel).isdecimal() and int(channel) < len(leads):
        return int(channel)
    names = ", ".join(f"{number} {lead}" for number, lead in enumerate(leads))
    raise SourceError(f"{name}: no channel {channel!r}; channels: {names}")


def _rails_mv(header: Any, channel: int, mv: float) -> tuple[float, float] | None:
    """What the ADC can give, (low, high) mV, where the header tells."""
    try:
        bits, zero = int(header.adc_res[channel]), int(header.adc_zero[channel])
        gain, baseline = float(header.adc_gain[channel]), int(header.baseline[channel])
    except (TypeError, IndexError, AttributeError, ValueError):
        return None  # a multi-segment record, or a header that does not say
    if not 4 <= bits <= 32 or gain == 0 or not math.isfinite(gain):
        return None
    half = 1 << (bits - 1)
    ends = ((zero - half - baseline) / gain * mv, (zero + half - 1 - baseline) / gain * mv)
    low, high = min(ends), max(ends)
    # nstdb gives -10.24 to -0.005 mV, and its samples lie far outside: rails without 0 mV are no ADC's.
    return (low, high) if low < 0 < high else None


def _start_time(header: Any) -> str | None:
    """ISO 8601 time of sample 0. WFDB headers name no time zone: taken as UTC."""
    if header.base_date is None or header.base_time is None:
        return None
    return datetime.combine(header.base_date, header.base_time, tzinfo=UTC).isoformat()
