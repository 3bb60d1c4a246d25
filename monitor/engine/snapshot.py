"""Snapshot of a running monitor: the numbers that `--metrics` serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from monitor.engine.bed import Bed
from monitor.engine.counters import Counters
from monitor.journal import Journal
from monitor.messages import ModelInfo

__all__ = ["BedSnapshot", "Snapshot", "take_snapshot"]


@dataclass(frozen=True, slots=True)
class BedSnapshot:
    """Numbers of one bed.

    Attributes:
        samples, samples_lost: read from the source; missing in gaps.
        counts: beats, anomalous_beats, unscored_beats, gaps, dropped_waves.
        state: as in the status message.
        scorable: beats of the signal are scored now.
        waiting: samples of a live source that arrived and were not read yet; None for other sources.
        alarm_kinds: (kind, priority) of every alarm that the bed can raise.
    """

    samples: int
    samples_lost: int
    counts: dict[str, int]
    state: str
    scorable: bool
    waiting: int | None
    alarm_kinds: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Numbers of a whole monitor.

    Attributes:
        model: the model in use.
        started_unix_s: when the monitor was built, Unix time, s.
        beds: bed name -> its numbers.
        counters: alarms, latencies and inference times.
        bus: counts of the bus, by name.
        journal_lost_rows: rows that could not be written into the journal.
        journal_failing: the journal cannot be written now.
    """

    model: ModelInfo
    started_unix_s: float
    beds: dict[str, BedSnapshot]
    counters: Counters
    bus: dict[str, int]
    journal_lost_rows: int
    journal_failing: bool


def take_snapshot(
    beds: Mapping[str, Bed], counters: Counters, bus: Mapping[str, int], journal: Journal, started_unix_s: float
) -> Snapshot:
    """Read all numbers now. Any thread may call it: each read is one step of CPython, and the loop does not wait."""
    return Snapshot(
        model=next(iter(beds.values())).model,
        started_unix_s=started_unix_s,
        beds={name: _bed_snapshot(bed) for name, bed in beds.items()},
        counters=counters,
        bus=dict(bus),
        journal_lost_rows=journal.losses.total,
        journal_failing=bool(journal.losses.failure),
    )


def _bed_snapshot(bed: Bed) -> BedSnapshot:
    detector, limits = bed.input.detector, bed.limits
    return BedSnapshot(
        samples=detector.samples_in,
        samples_lost=detector.samples_lost,
        counts=dict(bed.counts),
        state=bed.state,
        scorable=bed.scorable,
        waiting=getattr(bed.source, "waiting", None),
        alarm_kinds=tuple((kind, getattr(limits, kind).priority) for kind in limits.__struct_fields__),
    )
