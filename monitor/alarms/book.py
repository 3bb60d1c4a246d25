"""The book of one bed's alarms: which are up, in what state, since when; causes go in, changes come out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from monitor.alarms.audio import AudioPause
from monitor.alarms.kinds import COVERED_BY, COVERS, REPORTED, TECHNICAL
from monitor.config import AlarmsConfig, KindConfig
from monitor.messages import PRIORITY_RANK, Alarm, Evidence

__all__ = ["AlarmBook"]

_HOUR_S = 3600.0
_UPDATE_S = 60.0  # what has grown of an alarm that lasts is told so often: its count and evidence


@dataclass(slots=True)
class _Entry:
    """An alarm that is not cleared.

    Attributes:
        known: with all that is known by now.
        told: as it was last given out.
        rested: since when its cause is gone, samples; None while it holds.
        grown: whether more is known than was told.
    """

    known: Alarm
    told: Alarm
    rested: int | None = None
    grown: bool = False

    @property
    def up(self) -> bool:
        """Its cause holds, or may be back any moment."""
        return self.known.state != "latched"


class AlarmBook:
    """State of every alarm of one bed. Rules say what holds, rests or is over; the book says what that changes.

    Args:
        bed: name of the bed, part of every alarm's id.
        fs_hz: sampling rate, Hz.
        limits: `[alarms]` of this bed.
        audio: hears of every onset.
        context: evidence that every alarm has (heart rate, quality), as of now.

    Attributes:
        sample: the sample clock; never runs backwards.
    """

    def __init__(
        self, bed: str, fs_hz: float, limits: AlarmsConfig, audio: AudioPause, context: Callable[[Evidence], Evidence]
    ) -> None:
        self.bed = bed
        self.fs_hz = fs_hz
        self.sample = 0
        self._limits = limits
        self._audio = audio
        self._context = context
        self._entries: dict[str, _Entry] = {}  # by kind
        self._cleared: dict[str, Alarm] = {}  # by kind: the last that was cleared
        self._waiting: dict[str, tuple[int, int]] = {}  # by kind: since when a cause holds, and the onset it will have
        self._onsets: dict[str, deque[int]] = {}  # by kind: those of the last hour, where they are limited
        self._changes: list[Alarm] = []

    # -- what it knows ------------------------------------------------------------------------------------

    def limits(self, kind: str) -> KindConfig:
        """Settings of a kind."""
        limits: KindConfig = getattr(self._limits, kind)
        return limits

    @property
    def active(self) -> tuple[Alarm, ...]:
        """Alarms that are not cleared, as they were last told: most urgent first, then newest."""
        told = (entry.told for entry in self._entries.values())
        return tuple(sorted(told, key=lambda alarm: (-PRIORITY_RANK[alarm.priority], -alarm.onset_sample, alarm.kind)))

    def up(self, kind: str) -> Alarm | None:
        """The alarm of a kind whose cause holds, or has not been gone for long; None else."""
        entry = self._entries.get(kind)
        return entry.known if entry is not None and entry.up else None

    def holds(self, kind: str) -> bool:
        """Whether the cause of an alarm that is up holds now."""
        entry = self._entries.get(kind)
        return entry is not None and entry.up and entry.rested is None

    def covered(self, kind: str) -> bool:
        """Whether a higher alarm that is up says what this kind would say."""
        rank = PRIORITY_RANK[self.limits(kind).priority]
        higher = (each for each in COVERED_BY.get(kind, ()) if self.up(each) is not None)
        return any(PRIORITY_RANK[self.limits(each).priority] >= rank for each in higher)

    def take_changes(self) -> list[Alarm]:
        """Changes since the last call, in order."""
        changes, self._changes = self._changes, []
        return changes

    # -- what rules say -----------------------------------------------------------------------------------

    def advance(self, sample: int) -> None:
        """The clock goes on."""
        self.sample = max(self.sample, sample)

    def expire(self) -> None:
        """After the rules of a second: what has rested for long enough ends, what has grown is told now and then."""
        for kind, entry in list(self._entries.items()):
            if entry.up and entry.rested is not None and self._rested_s(entry) >= self._hold_s(kind):
                self._end(kind)
            told_s = (self.sample - entry.told.decided_sample) / self.fs_hz
            if entry.grown and told_s >= _UPDATE_S and kind in self._entries:
                self._tell(self._changed(entry.known, update=True))

    def cause(self, kind: str, onset: int, text: str, evidence: Evidence) -> None:
        """The cause of `kind` holds now; say so as often as it is known to, until `rest` or `end`."""
        if not self.limits(kind).enabled:
            return
        entry = self._standing(kind)
        if entry is not None:
            self._grow(entry, text, evidence, again=entry.rested is not None)
            entry.rested = None
            return
        if self.covered(kind):
            self._waiting.pop(kind, None)  # once it is uncovered it must have held for its delay anew
            return
        since, onset = self._waiting.setdefault(kind, (self.sample, onset))
        if (self.sample - since) / self.fs_hz >= self.limits(kind).delay_s:
            self._raise(kind, onset, text, evidence)

    def happened(self, kind: str, onset: int, text: str, evidence: Evidence) -> bool:
        """A cause of an instant: the alarm stays up for its `hold_s`, so that repeats are one alarm.

        Returns:
            False where a higher alarm covers it, or the kind is switched off.
        """
        entry = self._standing(kind)
        if entry is not None:
            self._grow(entry, entry.known.text, evidence, again=True)
            entry.rested = self.sample
            return True
        if not self.limits(kind).enabled or self.covered(kind):
            return False
        self._raise(kind, onset, text, evidence)
        self._entries[kind].rested = self.sample
        return True

    def condition_cleared(self, kind: str, since: int | None = None) -> None:
        """The cause of `kind` is gone (since a sample, else since now); its alarm ends when that is `hold_s` ago."""
        self._waiting.pop(kind, None)
        entry = self._entries.get(kind)
        if entry is None or not entry.up or entry.rested is not None:
            return
        entry.rested = self.sample if since is None else since
        if self.limits(kind).hold_s == 0:
            self._end(kind)

    def clear(self, kind: str) -> None:
        """The cause of `kind` is gone, and whether it comes back cannot be known: no signal, no hold."""
        self._waiting.pop(kind, None)
        entry = self._entries.get(kind)
        if entry is None or not entry.up:
            return
        if entry.rested is None:
            entry.rested = self.sample
        self._end(kind)

    def learn(self, kind: str, evidence: Evidence, text: str | None = None) -> None:
        """More is known of what an alarm that is up is about: told at once where `text` is given, else later."""
        entry = self._entries.get(kind)
        if entry is None or not entry.up:
            return
        self._grow(entry, text or entry.known.text, evidence, again=False)
        if text is not None:
            self._tell(self._changed(entry.known, update=True))

    def restore(self, changes: Iterable[Alarm], sample: int) -> None:
        """Begin with the alarms of an engine that is no more; gives no change out.

        Args:
            changes: what it gave out, in order: at least the last of each alarm that is not cleared, and all of the
                last hour.
            sample: up to where it had come. Whether the cause of an alarm still holds there is not known: it rests
                from here on, until a rule says so again.
        """
        self.advance(sample)
        for alarm in changes:
            self._onsets_of(alarm)
            if alarm.state == "cleared":
                self._entries.pop(alarm.kind, None)
                self._cleared[alarm.kind] = alarm
            else:
                rested = None if alarm.state == "latched" or alarm.kind in REPORTED else sample
                self._entries[alarm.kind] = _Entry(alarm, alarm, rested)

    def acknowledge(self, alarm_id: str, who: str) -> None:
        """Somebody has seen an alarm: it is acknowledged, or cleared where it was latched.

        Raises:
            ValueError: no such active alarm.
        """
        for entry in self._entries.values():
            if entry.known.alarm_id == alarm_id:
                if entry.known.state != "acknowledged":
                    state = "acknowledged" if entry.up else "cleared"
                    self._tell(self._changed(entry.known, state=state, acknowledged_by=who))
                return
        raise ValueError(f"alarm {alarm_id!r} is not active on bed {self.bed!r}")

    # -- inside -------------------------------------------------------------------------------------------

    def _raise(self, kind: str, onset: int, text: str, evidence: Evidence) -> None:
        """A new alarm, or the same again: one that latched, or ended and came back before it was a second older."""
        self._waiting.pop(kind, None)
        limits = self.limits(kind)
        alarm = Alarm(
            alarm_id=f"{self.bed}/{kind}/{onset}",
            bed=self.bed,
            kind=kind,
            category="technical" if kind in TECHNICAL else "physiological",
            priority=limits.priority,
            state="onset",
            onset_sample=onset,
            decided_sample=self.sample,
            text=text,
            evidence=self._context(evidence),
        )
        latched = self._entries.get(kind)
        before = self._cleared.get(kind) if latched is None else latched.known
        if before is not None and (latched is not None or before.alarm_id == alarm.alarm_id):
            alarm = msgspec.structs.replace(
                alarm, alarm_id=before.alarm_id, onset_sample=before.onset_sample, count=before.count + 1
            )
        self._onsets_of(alarm)
        self._tell(alarm)
        for lower in COVERS.get(kind, ()):
            if self.up(lower) and self.covered(lower):
                self._entries[lower].rested = self.sample
                self._end(lower, covered_by=alarm.alarm_id)

    def _standing(self, kind: str) -> _Entry | None:
        """The alarm that is up and takes a cause that holds now as its own; one that has rested for too long ends."""
        entry = self._entries.get(kind)
        if entry is not None and entry.up and entry.rested is not None and self._rested_s(entry) > self._hold_s(kind):
            self._end(kind)
        entry = self._entries.get(kind)
        return entry if entry is not None and entry.up else None

    def _rested_s(self, entry: _Entry) -> float:
        return 0.0 if entry.rested is None else (self.sample - entry.rested) / self.fs_hz

    def _end(self, kind: str, covered_by: str = "") -> None:
        """Clear an alarm, or latch it until somebody has seen it."""
        if not self._may_end(kind):
            return
        known = self._entries[kind].known
        self._tell(self._changed(known, state="latched" if self._latches(known) else "cleared", covered_by=covered_by))

    def _latches(self, alarm: Alarm) -> bool:
        latch = self.limits(alarm.kind).latch
        if alarm.category == "technical" or alarm.state == "acknowledged" or latch == "never":
            return False
        return latch == "always" or alarm.priority == "high"

    def _tell(self, alarm: Alarm) -> None:
        if alarm.state == "cleared":
            del self._entries[alarm.kind]
            self._cleared[alarm.kind] = alarm
        else:
            entry = self._entries.setdefault(alarm.kind, _Entry(alarm, alarm))
            entry.known = entry.told = alarm
            entry.grown = False
            if alarm.state == "onset" and not alarm.update:
                entry.rested = None
                self._audio.hear(alarm)
        self._changes.append(alarm)

    def _changed(self, alarm: Alarm, **changes: object) -> Alarm:
        return msgspec.structs.replace(alarm, **({"update": False, "decided_sample": self.sample} | changes))

    def _grow(self, entry: _Entry, text: str, evidence: Evidence, again: bool) -> None:
        count = entry.known.count + again
        known = msgspec.structs.replace(entry.known, text=text, evidence=self._context(evidence), count=count)
        entry.grown = entry.grown or known != entry.known
        entry.known = known

    # -- how often one may say so ---------------------------------------------------------------------------

    def _onsets_of(self, alarm: Alarm) -> None:
        """Count an onset where so many an hour are allowed."""
        if alarm.state == "onset" and not alarm.update and self._limited(alarm.kind):
            onsets = self._onsets.setdefault(alarm.kind, deque(maxlen=self.limits(alarm.kind).per_hour))
            onsets.append(alarm.decided_sample)

    def _limited(self, kind: str) -> bool:
        limits = self.limits(kind)
        return limits.priority == "low" and limits.per_hour > 0

    def _recent_onsets(self, kind: str) -> int:
        onsets = self._onsets.get(kind, deque())
        while onsets and self.sample - onsets[0] >= _HOUR_S * self.fs_hz:
            onsets.popleft()
        return len(onsets)

    def _hold_s(self, kind: str) -> float:
        """A low alarm that comes again and again stays longer each time."""
        return self.limits(kind).hold_s * (max(1, self._recent_onsets(kind)) if self._limited(kind) else 1)

    def _may_end(self, kind: str) -> bool:
        """Not where the hour's onsets are used up: it would come back and could not say so."""
        return not self._limited(kind) or self._recent_onsets(kind) < self.limits(kind).per_hour
