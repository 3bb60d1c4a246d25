"""Write the files of `--record DIR`, one folder per bed; they are valid up to the last write at any moment."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.atomic_file import replace_file
from monitor.errors import RecorderError
from monitor.messages import BeatMessage, ModelInfo
from monitor.recording.segments import Segments
from monitor.recording.share import DiskShare
from monitor.recording.wfdb_writer import AppendFile

__all__ = ["BEATS_HEADER", "PACER_HEADER", "Recorder"]

BEATS_HEADER = "r_sample,time_s,rr_s,log_prob,score,p_value,anomalous,quality,paced"
PACER_HEADER = "pacer_sample,time_s"
_BEAT_BYTES = 100  # of a row and its annotation


def _field(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


class Recorder:
    """Writes one bed to `folder/bed/`.

    - `beats.csv`: BEATS_HEADER; `r_sample` in samples of the source, `time_s` = r_sample / fs_hz, empty = None.
    - `pacer.csv`: PACER_HEADER; the first sample of each pacing pulse.
    - `alarms.jsonl`, `events.jsonl`: each message as published.
    - `signal.hea`, `signal.dat`: WFDB, format 16, mV; missing samples are marked invalid, so sample numbers hold.
    - `signal.ecg`: WFDB annotations: N normal, / normal and paced, Q anomalous, ? not scored; log p(x) in the aux note.
    - `signal_2.*` and so on: the same after a long gap (`segments.py`); `segments` in session.json lists all.
    - `session.json`: configuration, model, counts; `state` is `recording`, and `closed` after close().

    Samples of the WFDB files count from `first_sample` in session.json, which is 0 unless the replay began later.
    Many attributes: its files, and what session.json says.
    The process buffers nothing, so every row survives kill -9.

    Args:
        folder: of the session; created if missing.
        fs_hz: sampling rate, Hz.
        leads: names of the leads.
        start_time: ISO 8601 time of sample 0 of the source; None if unknown.
        config: the whole configuration, for session.json.
        rails_mv: range of each lead, (low, high) mV; None if unknown.
        share: of the disk; what goes beyond is not written, and counted. None = no limit.

    Raises:
        RecorderError: the folder is not empty, or cannot be written (from every method too).
        ValueError: a bed name that is no folder name.
    """

    def __init__(
        self,
        folder: Path,
        bed: str,
        fs_hz: float,
        leads: Sequence[str],
        start_time: str | None,
        config: Mapping[str, Any],
        model: ModelInfo,
        *,
        rails_mv: Sequence[tuple[float, float] | None] | None = None,
        share: DiskShare | None = None,
    ) -> None:
        if not bed or bed in (".", "..") or Path(bed).name != bed:
            raise ValueError(f"bed {bed!r} is no folder name")
        self.folder = folder / bed
        self._fs_hz = fs_hz
        self.share = share
        self._failed = False
        self._closed = False
        self._counts = Counter(beats=0, pacer_pulses=0, alarms=0, events=0, gaps=0, lost_samples=0, refused=0)
        self._about: dict[str, Any] = {
            "state": "recording",
            "bed": bed,
            "fs_hz": fs_hz,
            "lead": ",".join(leads),
            "start_time": start_time,
            "first_sample": None,
            "segments": [],
            "model": model,
            "config": dict(config),
        }
        with self._disk():
            self.folder.mkdir(parents=True, exist_ok=True)
            if any(self.folder.iterdir()):
                raise RecorderError(
                    f"recording to {self.folder}: the folder is not empty; name another one or move it away"
                )
            self._beats = AppendFile(self.folder / "beats.csv")
            self._beats.append(f"{BEATS_HEADER}\n".encode())
            self._pacer = AppendFile(self.folder / "pacer.csv")
            self._pacer.append(f"{PACER_HEADER}\n".encode())
            self._messages = {name: AppendFile(self.folder / f"{name}.jsonl") for name in ("alarms", "events")}
            self._signal = Segments(self.folder, fs_hz=fs_hz, leads=leads, rails_mv=rails_mv, start_of=self._start_of)
            self._write_about()

    def signal(self, first_sample: int, *leads: NDArray[np.float64]) -> None:
        """Append raw samples.

        Args:
            first_sample: index of the first one in the source; samples skipped since the last call are filled as
                invalid, or begin a new record.
            leads: (n,) float64, mV, the samples of each lead; NaN = no valid sample.

        Raises:
            ValueError: `first_sample` is written already.
        """
        if not self._fits(2 * leads[0].size * len(leads)):
            return
        with self._disk():
            self._go_to(first_sample)
            self._signal.append(leads)

    def gap(self, first_sample: int, lost: int) -> None:
        """Note a gap of `lost` samples from `first_sample` on."""
        if not self._fits(0):
            return
        with self._disk():
            self._go_to(first_sample)
            self._go_to(first_sample + lost)
        self._counts["gaps"] += 1
        self._counts["lost_samples"] += lost

    def beat(self, beat: BeatMessage) -> None:
        """Append a beat to beats.csv and to the annotations; in order, after the signal around it."""
        if self._signal.first_sample is None:
            raise ValueError(f"beat at sample {beat.r_sample} before any signal")
        if not self._fits(_BEAT_BYTES):
            return
        symbol = "?" if beat.score is None else "Q" if beat.anomalous else "/" if beat.paced else "N"
        fields = (
            str(beat.r_sample),
            _field(beat.r_sample / self._fs_hz, 6),
            _field(beat.rr_s, 6),
            _field(beat.log_prob, 4),
            _field(beat.score, 4),
            _field(beat.p_value, 6),
            "1" if beat.anomalous else "0",
            beat.quality,
            "1" if beat.paced else "0",
        )
        with self._disk():
            self._signal.annotate(beat.r_sample, symbol, _field(beat.log_prob, 4))
            self._beats.append((",".join(fields) + "\n").encode())
        self._counts["beats"] += 1

    def pacer(self, samples: Iterable[int]) -> None:
        """Append pacing pulses to pacer.csv; in order."""
        if not self._fits(_BEAT_BYTES):
            return
        rows = [f"{sample},{_field(sample / self._fs_hz, 6)}\n" for sample in samples]
        with self._disk():
            self._pacer.append("".join(rows).encode())
        self._counts["pacer_pulses"] += len(rows)

    def alarm(self, body: bytes) -> None:
        """Append an alarm message, the JSON as published."""
        self._message("alarms", body)

    def event(self, body: bytes) -> None:
        """Append an event message, the JSON as published."""
        self._message("events", body)

    def check(self) -> None:
        """Check that the files are still where they were created; call it about once a second.

        Raises:
            RecorderError: they were moved or deleted: what is written from now on would be lost.
        """
        if not self._failed and self._beats.gone:
            self._failed = True
            raise RecorderError(
                f"recording to {self.folder}: the folder was moved or deleted; nothing more is recorded of this bed: "
                "start the monitor again with another --record"
            )

    def close(self, session: Mapping[str, Any] | None = None) -> None:
        """Write the header with length and time, and `session` (counts, latency, ...) into session.json; once.

        After a failure the files are only closed: they keep what was written before.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if not self._failed:
                self._about.update(session or {})
                self._about["state"] = "closed"
                with self._disk():
                    self._signal.finish()
                    self._write_about()
        finally:
            files: tuple[Segments | AppendFile, ...] = (
                self._signal,
                self._beats,
                self._pacer,
                *self._messages.values(),
            )
            for file in files:
                with suppress(OSError):
                    file.close()

    def _fits(self, size: int) -> bool:
        """Whether a write of this size is within the share of the bed."""
        if self.share is None or self.share.take(size):
            return True
        self._counts["refused"] += 1
        return False

    def _message(self, name: str, body: bytes) -> None:
        if not self._fits(len(body)):
            return
        with self._disk():
            self._messages[name].append(body + b"\n")
        self._counts[name] += 1

    def _go_to(self, sample: int) -> None:
        """Continue the signal at `sample`."""
        if self._signal.go_to(sample):
            self._about["first_sample"] = self._signal.first_sample
            self._about["segments"] = self._signal.names
            self._write_about()

    def _start_of(self, sample: int) -> tuple[str, str] | None:
        """Time and date of a sample as in a WFDB header (UTC)."""
        start_time: str | None = self._about["start_time"]
        if start_time is None:
            return None
        start = datetime.fromisoformat(start_time)
        start = start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
        start += timedelta(seconds=sample / self._fs_hz)
        return f"{start:%H:%M:%S}.{start.microsecond // 1000:03d}", f"{start:%d/%m/%Y}"

    def _write_about(self) -> None:
        counts = self._signal.counts | self._counts
        about = msgspec.to_builtins(self._about | {"recorded": counts})
        text = json.dumps(about, indent=2, ensure_ascii=False)
        # Bytes of a folder name that are no UTF-8 become escapes.
        replace_file(self.folder / "session.json", text.encode("utf-8", "backslashreplace").decode() + "\n")

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """Turn a system error into a RecorderError, and refuse further writes."""
        if self._failed:
            raise RecorderError(f"recording to {self.folder}: stopped after an earlier failure")
        try:
            yield
        except RecorderError:
            self._failed = True
            raise
        except OSError as error:
            self._failed = True
            reason = error.strerror or os.strerror(error.errno or 0)
            raise RecorderError(
                f"recording to {self.folder}: {reason}; free space or name another folder (what was written is whole)"
            ) from None
