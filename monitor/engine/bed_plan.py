"""Bed plans: the bed of `[source]`, the beds of `[beds.<name>]`, or many beds from one source."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from monitor.config import Config, SourceConfig
from monitor.errors import ConfigError, SourceError
from monitor.sources import Source, SourceOptions, open_source
from monitor.terminal import notice

__all__ = ["WAITED_FOR", "BedPlan", "open_bed", "open_beds", "planned_beds"]

# Live kinds that may appear later; a missing file is an error.
WAITED_FOR: Final = frozenset({"serial", "zmq", "lsl", "brainflow", "ble"})
_HELD_S: Final = 10.0  # signal that each of many replays holds in memory
_MANY: Final = 8  # beds
_NAMED_ERRORS: Final = 20  # in one line


@dataclass(frozen=True, slots=True)
class BedPlan:
    """A bed to open.

    Attributes:
        name: name of the bed.
        source: `[source]` with the changes of this bed.
        repeats: the source starts again at its end.
        held_s: signal held in memory, s; None = the fastest amount.
    """

    name: str
    source: SourceConfig
    repeats: bool = False
    held_s: float | None = None


def planned_beds(config: Config) -> list[BedPlan]:
    """The beds of a configuration, in order. Same configuration and data give the same plans.

    Raises:
        ConfigError: both beds_count and beds with a source, or `*` without beds_count.
        SourceError: many beds from a source that cannot be opened, or only once.
    """
    named = [name for name, bed in config.beds.items() if bed.source]
    s = config.source
    if named:
        if s.beds_count > 1:
            raise ConfigError(f"beds_count = {s.beds_count} and [beds.{named[0]}] with a source: give only one of them")
        held_s = _HELD_S if len(named) > _MANY else None
        return [BedPlan(name, config.source_of(name), held_s=held_s) for name in named]
    if s.beds_count == 1:
        if s.spec.endswith(":*"):
            raise ConfigError(f"source {s.spec} is many records; give the number of beds, e.g. --beds-count 48")
        return [BedPlan(s.bed, s)]
    return _many(config)


def open_bed(plan: BedPlan, config: Config, note: Callable[[str, str], None] | None = None) -> Source:
    """Open the source of a bed.

    Args:
        plan: the bed.
        config: for its alarm limits.
        note: as in SourceOptions; without it, an error names the command that shows what was recognised.

    Raises:
        SourceError: it cannot be opened.
    """
    noted: list[str] = []
    try:
        return _open_bed(plan, config, note or (lambda name, _text: noted.append(name)))
    except SourceError as error:
        if not noted:
            raise
        shown = shlex.quote(plan.source.spec)
        raise SourceError(f"{error} (ecg-monitor inspect {shown} shows what was recognised)") from None


def _open_bed(plan: BedPlan, config: Config, note: Callable[[str, str], None]) -> Source:
    s = plan.source
    options = SourceOptions(
        fs_hz=s.fs_hz or None,
        channel=int(s.channel) if s.channel.isdigit() else s.channel or None,
        start_s=s.start_s,
        duration_s=s.duration_s or None,
        port=s.port or None,
        format=s.format,
        baud=s.baud or None,
        adc_bits=s.adc_bits or None,
        vref=s.vref or None,
        gain=s.gain or None,
        rate_tolerance=config.alarms_of(plan.name).sampling_rate.limit / 100,
        seed=s.seed,
        column=int(s.column) if s.column.isdigit() else s.column or None,
        unit=s.unit or None,
        mv_per_unit=s.mv_per_unit or None,
        report=notice,
        held_s=plan.held_s,
        note=note,
    )
    if plan.repeats:
        from monitor.sources.repeated import RepeatedSource

        return RepeatedSource(open_source, s.spec, options)
    return open_source(s.spec, options)


def open_beds(config: Config) -> dict[str, Source]:
    """Open the sources of all beds of a configuration.

    A record, file or scenario that cannot be opened is an error; all such errors are named together. A device or a
    stream may appear later: its bed starts as lost (`source_lost`), and its source is opened as soon as possible. At
    least one bed must open at once.

    Raises:
        ConfigError: see `planned_beds`.
        SourceError: one line with all errors, each with bed, key, value and remedy.
    """
    plans = planned_beds(config)
    if len(plans) == 1 and plans[0].name not in config.beds:
        return {plans[0].name: open_bed(plans[0], config)}
    sources: dict[str, Source] = {}
    wrong: list[str] = []
    waited: list[str] = []
    for plan in plans:
        spec = plan.source.spec
        try:
            sources[plan.name] = open_bed(plan, config)
        except SourceError as error:
            line = f"beds.{plan.name}.source = {spec!r}: {error}"
            if spec.partition(":")[0] in WAITED_FOR:
                waited.append(line)
                sources[plan.name] = _reconnecting(plan, config, f"{error}; it is opened as soon as it can be")
            else:
                wrong.append(line)
    if wrong or len(waited) == len(plans):
        for source in sources.values():
            source.close()
        lines = wrong or waited
        more = f" | and {len(lines) - _NAMED_ERRORS} more" if len(lines) > _NAMED_ERRORS else ""
        raise SourceError(" | ".join(lines[:_NAMED_ERRORS]) + more)
    return sources


def _reconnecting(plan: BedPlan, config: Config, why: str) -> Source:
    from monitor.sources.reconnecting import ReconnectingSource

    return ReconnectingSource(lambda: open_bed(plan, config), plan.source.spec, why, plan.source.fs_hz or None)


def _many(config: Config) -> list[BedPlan]:
    """Copies of one source, or of the records of a database in turn, each starting at a seeded random place."""
    import numpy as np

    s = config.source
    rng = np.random.default_rng(s.seed)
    specs = _records(s.spec) if s.spec.endswith(":*") else [s.spec]
    seconds = {} if s.spec.partition(":")[0] == "sim" else {spec: _length_s(spec, config) for spec in specs}
    width = max(4, len(str(s.beds_count)))
    plans: list[BedPlan] = []
    for number in range(1, s.beds_count + 1):
        name = f"b{number:0{width}}"
        spec = specs[(number - 1) % len(specs)]
        place = float(rng.random())
        # Where the record is long enough, the place leaves room for the whole duration.
        room_s = seconds.get(spec, 0.0) - s.start_s - s.duration_s
        start_s = s.start_s + place * (room_s if s.duration_s and room_s > 0 else max(0.0, room_s + s.duration_s - 1))
        seed = s.seed + number - 1  # the simulator makes another patient
        source = msgspec.structs.replace(s, spec=spec, bed=name, start_s=math.floor(start_s * 1e3) / 1e3, seed=seed)
        plans.append(BedPlan(name, source, repeats=True, held_s=_HELD_S))
    return plans


def _records(spec: str) -> list[str]:
    from monitor.sources.files.record_files import DATABASES, records

    kind = spec.removesuffix(":*")
    if kind not in DATABASES:
        raise SourceError(f"{spec}: * stands for all records of {', '.join(DATABASES)}")
    return [f"{kind}:{record}" for record in records(kind)]


def _length_s(spec: str, config: Config) -> float:
    source = open_bed(
        BedPlan("", msgspec.structs.replace(config.source, spec=spec, start_s=0.0, duration_s=0.0)), config
    )
    try:
        if source.live:
            raise SourceError(f"{spec}: a live source cannot be copied; give a record, a file or sim")
        return 0.0 if source.total_samples is None else source.total_samples / source.fs_hz
    finally:
        source.close()
