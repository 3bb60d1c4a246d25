"""A stream of the lab streaming layer, `lsl:NAME` or `lsl:type=ECG`; needs the extra `lsl` (pylsl).

See https://labstreaminglayer.readthedocs.io. StampClock finds losses by the time stamps. Automatic reconnection of LSL
is off, so that a loss is reported.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monitor.errors import SourceError, first_line
from monitor.sources.base import Chunk, EndOfStream, Notice, Source
from monitor.sources.channels import Channel, channel_list, check_units, choose_leads, lead_names
from monitor.sources.options import MAX_MV, SourceOptions, blank_beyond, check_fs, sample_span
from monitor.sources.timing.arrival_line import usual_rate
from monitor.sources.timing.sample_runs import SampleRuns
from monitor.sources.timing.stamp_clock import LONGEST_GAP_S, StampClock
from monitor.sources.units import ADC, canonical_unit, mv_per, unit_in_label

if TYPE_CHECKING:
    import pylsl

__all__ = ["BUFFER_S", "LslSource"]

BUFFER_S = 10  # s of unread samples that LSL keeps; it drops older ones, which is a gap
_SEARCH_S = 3.0
_ALIKE_S = 1.0  # wait for a second stream of the same name: without multicast it answers after 0.5 s
_OPEN_S = 5.0
MEASURE_S = 5.0  # signal from which the rate of a stream without a nominal one is measured, by its stamps
_MEASURE_WAIT_S = 15.0
_IRREGULAR_BUFFER = 1000  # of 100 samples
_QUIET_S = 1.0  # silence after which the held samples are given
_PULL = 4096
_KEYS = ("name", "type", "source_id")
_ECG_TYPES = ("ECG", "EKG")
_NO_LOG = "[log]\nlevel = -3\n"  # LSL would write to standard error, over the dashboard
# Paths of LSL's settings; our settings would replace them.
_SETTINGS = ("lsl_api.cfg", "~/lsl_api/lsl_api.cfg", "/etc/lsl_api/lsl_api.cfg")


class LslSource(Source):
    """Live source of one channel of one LSL stream, or of two.

    A stream that ends is `source_lost` and searched for until it is back; our clock then gives the number of missing
    samples.

    Many attributes: ten are those of the Source protocol.

    Args:
        what: name of the stream, or `name=`, `type=` or `source_id=` and a value.
        options: `channel` and `second` (label or number), `unit` and `mv_per_unit` (where the stream names no unit),
            `fs_hz` (of a stream without a nominal rate), `duration_s`, `clock`.

    Raises:
        SourceError: pylsl is not installed; no such stream (the error lists all streams), or several; no rate,
            no numbers, no such channel, no voltage.
    """

    live = True

    def __init__(self, what: str, options: SourceOptions, name: str) -> None:
        self.name = name
        self._clock = options.clock
        if options.start_s:
            raise SourceError(f"{name}: a stream begins now; leave out --start")
        self._lsl = _pylsl(name)
        key, equals, value = what.partition("=")
        self._key, self._value = (key.strip(), value.strip()) if equals and key.strip() in _KEYS else ("name", what)
        if not self._value or "'" in self._value:  # LSL puts the value between quotes
            raise SourceError(f"{name}: name the stream without quotes, e.g. lsl:NAME or lsl:type=ECG")
        found = self._find()
        fs_hz = self._rate(found, options)
        self._shape = self._shape_of(found)
        self._inlet: Any = self._open(found)
        self._resolver: Any = None
        try:
            info = self._inlet.info(timeout=_OPEN_S)  # with labels and units, which the search does not return
            self._inlet.open_stream(timeout=_OPEN_S)
        except (RuntimeError, TimeoutError) as error:  # LSL's own errors are RuntimeErrors
            raise SourceError(f"{name}: the stream cannot be opened ({error}); is the sender still there?") from None
        try:
            self._describe(info, options)
            early = [] if fs_hz else self._first_samples()
            self.fs_hz = fs_hz or _measured_rate([stamps for _, stamps in early], name)
            options.note("rate", f"{self.fs_hz:g} Hz" + ("" if fs_hz else ", measured"))
            self._runs = SampleRuns(sample_span(options, self.fs_hz, None, name)[1])
        except SourceError:
            self._inlet = None  # a kept exception would keep the inlet open
            raise
        if found.source_id():
            self._key, self._value = "source_id", found.source_id()
        self._stamps = StampClock(self.fs_hz)
        self._arrival_s = self._began_s = self._clock()
        self._broken = False  # the stream was lost since the last sample
        self._beyond = self._resets = 0
        self._pending: list[Notice] = []
        self._others: set[str] = set()  # streams of another shape that were reported
        self._closed = False
        for samples, stamps in early:
            self._take(samples, stamps)

    def _describe(self, info: pylsl.StreamInfo, options: SourceOptions) -> None:
        labels = info.get_channel_labels() or []
        names = [label or f"channel {i}" for i, label in enumerate(labels)] or [
            f"channel {i}" for i in range(self._shape[0])
        ]
        types, units = info.get_channel_types() or [], info.get_channel_units() or []
        all_ecg = info.type().upper() in _ECG_TYPES
        channels = [
            Channel(label, unit or None, is_ecg=all_ecg or (kind or "").upper() in _ECG_TYPES)
            for label, kind, unit in itertools.zip_longest(names, types[: len(names)], units[: len(names)])
        ]
        options.note("format", f"LSL stream {info.name()} of type {info.type() or 'none'} on {info.hostname()}")
        options.note("channels", channel_list(channels))
        wanted = (options.channel,) if options.second is None else (options.channel, options.second)
        self._channels = choose_leads(channels, wanted, self.name)
        leads = [names[channel] for channel in self._channels]
        scales = [self._scale(names[channel], channels[channel].unit or "", options) for channel in self._channels]
        check_units(leads, [unit for unit, _ in scales], self.name)
        self.unit, self.mv_per_unit = scales[0]
        self.leads = lead_names(leads, self._channels)
        self.lead = ",".join(self.leads)
        options.note("lead", " and ".join(self.leads))
        options.note("unit", self.unit)

    def read(self, max_samples: int) -> Chunk | None:
        """Return the samples that arrived, at most `max_samples`, without waiting; see Source."""
        if self._closed:
            raise SourceError(f"{self.name}: closed")
        if self._runs.ended:
            raise EndOfStream
        if self._inlet is None:
            self._search()
        elif self._runs.size < max_samples:
            self._pull()
        return self._runs.chunk(max_samples, self._arrival_s, self._notices())

    @property
    def waiting(self) -> int:
        """Samples received and not read yet."""
        return self._runs.size

    def close(self) -> None:
        """Close the stream; may be called twice."""
        self._closed = True
        self._inlet = self._resolver = None

    def _find(self) -> pylsl.StreamInfo:
        resolve = self._lsl.resolve_byprop
        found = resolve(self._key, self._value, minimum=1, timeout=_SEARCH_S)
        if not found:
            others = sorted({f"{info.name()} ({info.type()})" for info in self._lsl.resolve_streams(wait_time=1.0)})
            there = f"there are {', '.join(others[:12])}" if others else "there is no stream; is the sender running?"
            raise SourceError(
                f"{self.name}: no LSL stream with {self._key} {self._value!r} within {_SEARCH_S:g} s; {there}"
            )
        alike = resolve(self._key, self._value, minimum=2, timeout=_ALIKE_S)
        if len(alike) > 1:
            listing = ", ".join(
                sorted(f"{info.name()} on {info.hostname()} (source_id {info.source_id()!r})" for info in alike)
            )
            raise SourceError(f"{self.name}: {len(alike)} streams: {listing}; choose one, e.g. lsl:source_id=ID")
        return found[0]

    def _open(self, info: pylsl.StreamInfo) -> Any:
        # For a stream without a nominal rate LSL counts the buffer in hundreds of samples.
        length = BUFFER_S if info.nominal_srate() else _IRREGULAR_BUFFER
        return self._lsl.StreamInlet(info, max_buflen=length, recover=False)

    def _rate(self, info: pylsl.StreamInfo, options: SourceOptions) -> float | None:
        """The rate that the stream or the user states; None = it must be measured."""
        fs_hz = info.nominal_srate()
        if info.channel_format() == self._lsl.cf_string:
            raise SourceError(f"{self.name}: the stream holds text, no numbers; choose another one")
        if not fs_hz:
            return None if options.fs_hz is None else check_fs(options.fs_hz, self.name)
        if options.fs_hz is not None and options.fs_hz != fs_hz:
            raise SourceError(
                f"{self.name}: --fs {options.fs_hz:g} Hz, but the stream has {fs_hz:g} Hz; leave out --fs"
            )
        return check_fs(fs_hz, self.name)

    def _first_samples(self) -> list[tuple[Any, NDArray[np.float64]]]:
        """Pull samples until their stamps span MEASURE_S."""
        pulled: list[tuple[Any, NDArray[np.float64]]] = []
        until_s = time.monotonic() + _MEASURE_WAIT_S
        while time.monotonic() < until_s:
            try:
                samples, stamps = self._inlet.pull_chunk(timeout=0.1, max_samples=_PULL, as_numpy=True)
            except RuntimeError as error:
                raise SourceError(f"{self.name}: lost the stream ({error})") from None
            if len(stamps):
                pulled.append((samples, np.asarray(stamps, dtype=np.float64)))
                if pulled[-1][1][-1] - pulled[0][1][0] >= MEASURE_S:
                    break
        return pulled

    @staticmethod
    def _shape_of(info: pylsl.StreamInfo) -> tuple[int, float, int]:
        """Number of channels, rate and format, which must be the same after a loss."""
        return info.channel_count(), info.nominal_srate(), info.channel_format()

    def _scale(self, lead: str, stated: str, options: SourceOptions) -> tuple[str, float]:
        """Unit of a channel, and mV in one."""
        unit = stated or unit_in_label(lead) or ""
        if options.unit is None and not unit:
            raise SourceError(f"{self.name}: channel {lead} names no unit; give it, e.g. --unit uV")
        if options.unit is None and canonical_unit(unit) == ADC:
            raise SourceError(
                f"{self.name}: channel {lead} is in {unit}; give its scale, e.g. --unit adc --mv-per-unit 0.005"
            )
        if options.unit is None and canonical_unit(unit) is None:
            raise SourceError(
                f"{self.name}: channel {lead} is in {unit}, which is no voltage; give its unit, e.g. --unit uV"
            )
        unit = options.unit or canonical_unit(unit) or unit
        return unit, mv_per(unit, options.mv_per_unit, self.name)

    def _pull(self) -> None:
        try:
            samples, stamps = self._inlet.pull_chunk(timeout=0.0, max_samples=_PULL, as_numpy=True)
        except RuntimeError as error:  # LostError is one
            self._inlet = None
            self._broken = True
            self._keep(self._stamps.flush())
            self._pending.append(Notice("source_lost", f"{self.name}: lost the stream ({error})"))
            return
        now_s = self._clock()
        if not len(stamps):
            if now_s - self._arrival_s > _QUIET_S:
                self._keep(self._stamps.flush())
            return
        if self._broken:
            missing = max(1, round((now_s - self._arrival_s) * self.fs_hz) - len(stamps))
            self._keep(self._stamps.restart(missing))
            self._broken = False
        self._arrival_s = now_s
        self._take(samples, np.asarray(stamps, dtype=np.float64))

    def _take(self, samples: Any, stamps: NDArray[np.float64]) -> None:
        columns = self._channels[0] if len(self._channels) == 1 else list(self._channels)
        mv = np.asarray(samples[:, columns], dtype=np.float64) * self.mv_per_unit
        self._beyond += blank_beyond(mv)
        self._stamps.longest_s = LONGEST_GAP_S + self._arrival_s - self._began_s  # as ZmqSource limits it
        self._keep(self._stamps.push(mv, stamps))

    def _keep(self, runs: list[tuple[int, Any]]) -> None:
        for first, samples in runs:
            self._runs.put(first, samples)

    def _search(self) -> None:
        """Check whether the stream is back; never waits."""
        if self._resolver is None:
            self._resolver = self._lsl.ContinuousResolver(self._key, self._value)
            self._others.clear()
        for info in self._resolver.results():
            if self._shape_of(info) == self._shape:
                self._inlet = self._open(info)
                self._resolver = None
                self._pending.append(Notice("source_back", f"{self.name}: the stream is back"))
                self._pull()  # connects, in a thread of LSL
                return
            if info.uid() in self._others:
                continue
            self._others.add(info.uid())
            n, rate, _ = self._shape_of(info)
            text = f"{self.name}: a stream with {n} channels at {rate:g} Hz is there, it was {self._shape[0]} at"
            self._pending.append(Notice("bad_input", f"{text} {self._shape[1]:g} Hz; restart the monitor for it"))

    def _notices(self) -> tuple[Notice, ...]:
        notices, self._pending = self._pending, []
        if self._beyond:
            text = f"{self.name}: {self._beyond} samples were infinite or beyond {MAX_MV:g} mV; is its unit right?"
            notices.append(Notice("bad_input", text, self._beyond))
            self._beyond = 0
        if new := self._stamps.resets - self._resets:
            self._resets += new
            notices.append(Notice("bad_input", f"{self.name}: time stamps were reset {new} times", new))
        return tuple(notices)


def _measured_rate(stamps: list[NDArray[np.float64]], name: str) -> float:
    """The rate of samples by their stamps, Hz: a usual rate if one is near.

    Raises:
        SourceError: too few samples, stamps of events, or no supported rate.
    """
    every = np.concatenate([np.empty(0), *stamps])
    span_s = float(every[-1] - every[0]) if every.size else 0.0
    if span_s < MEASURE_S / 2 or not np.isfinite(span_s):
        raise SourceError(
            f"{name}: the stream has no nominal sampling rate and sent {every.size} samples in {_MEASURE_WAIT_S:g} s,"
            " too few to measure one; give --fs, or choose another stream"
        )
    # By packets, which may share one stamp: the samples of the last one are not in the span.
    newest = every.size - int(np.searchsorted(every, every[-1]))
    return check_fs(usual_rate((every.size - newest) / span_s), name)


def _pylsl(name: str) -> Any:
    try:
        import pylsl
    except ImportError:
        raise SourceError(f"{name}: needs the extra lsl: python -m pip install 'ecg-monitor[lsl]'") from None
    except (RuntimeError, OSError) as error:  # no liblsl for this machine
        raise SourceError(f"{name}: pylsl finds no liblsl ({first_line(error)})") from None
    _quieten(pylsl)
    return pylsl


@functools.cache
def _quieten(lsl: Any) -> None:
    """Turn off LSL's log, once and before its first call, at which LSL reads its settings in a thread."""
    if "LSLAPICFG" not in os.environ and not any(Path(file).expanduser().is_file() for file in _SETTINGS):
        with contextlib.suppress(RuntimeError):  # an older liblsl
            lsl.set_config_content(_NO_LOG)
