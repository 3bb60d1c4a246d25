"""State of one bed's alarms: rules report causes, the book returns changes of alarms."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from monitor.alarms.audio import AudioPause
from monitor.alarms.kinds import COVERED_BY, COVERS, REPORTED, TECHNICAL
from monitor.config import AlarmsConfig, KindConfig
from monitor.messages import PRIORITY_RANK, Alarm, Evidence, Priority

__all__ = ["AlarmBook"]

_HOUR_S = 3600.0
_UPDATE_S = 60.0  # interval at which count and evidence of a lasting alarm are published again


@dataclass(slots=True)
class _Entry:
    """An alarm that is not cleared.

    Attributes:
        known: with everything known by now.
        published: as last published.
        gone_since: sample from which its cause is gone; None while it holds.
        stale: whether `known` differs from `published`.
    """

    known: Alarm
    published: Alarm
    gone_since: int | None = None
    stale: bool = False

    @property
    def up(self) -> bool:
        """The cause holds, or may come back within the hold time."""
        return self.known.state != "latched"


class AlarmBook:
    """State of every alarm of one bed. Rules report whether a cause holds; the book decides what that changes.

    Args:
        audio: notified of every onset.
        context: adds to evidence what every alarm has at this moment (heart rate, quality).

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
        self._cleared: dict[str, Alarm] = {}  # by kind: the last cleared alarm
        self._pending: dict[str, tuple[int, int]] = {}  # by kind, during `delay_s`: since when, and the onset sample
        self._onsets: dict[str, deque[int]] = {}  # by kind with limited onsets: those of the last hour
        self._changes: list[Alarm] = []

    # -- queries ------------------------------------------------------------------------------------------

    def limits(self, kind: str) -> KindConfig:
        """Settings of a kind."""
        limits: KindConfig = getattr(self._limits, kind)
        return limits

    @property
    def active(self) -> tuple[Alarm, ...]:
        """Alarms that are not cleared, as last published: most urgent first, then newest."""
        published = (entry.published for entry in self._entries.values())
        return tuple(
            sorted(published, key=lambda alarm: (-PRIORITY_RANK[alarm.priority], -alarm.onset_sample, alarm.kind))
        )

    def up(self, kind: str) -> Alarm | None:
        """The alarm of a kind whose cause holds or has been gone for less than the hold time; None otherwise."""
        entry = self._entries.get(kind)
        return entry.known if entry is not None and entry.up else None

    def holds(self, kind: str) -> bool:
        """Whether an alarm of this kind is up and its cause holds now."""
        entry = self._entries.get(kind)
        return entry is not None and entry.up and entry.gone_since is None

    def covered(self, kind: str) -> bool:
        """Whether an alarm of the same cause and at least this priority is up."""
        rank = PRIORITY_RANK[self.limits(kind).priority]
        higher = (each for each in COVERED_BY.get(kind, ()) if self.up(each) is not None)
        return any(PRIORITY_RANK[self.limits(each).priority] >= rank for each in higher)

    def take_changes(self) -> list[Alarm]:
        """Changes since the last call, in order."""
        changes, self._changes = self._changes, []
        return changes

    # -- reports of the rules -----------------------------------------------------------------------------

    def advance(self, sample: int) -> None:
        """Advance the sample clock."""
        self.sample = max(self.sample, sample)

    def expire(self) -> None:
        """Call after the rules of each second: end alarms past their hold time, publish overdue updates."""
        for kind, entry in list(self._entries.items()):
            if entry.up and entry.gone_since is not None and self._gone_s(entry) >= self._hold_s(kind):
                self._end(kind)
            published_s = (self.sample - entry.published.decided_sample) / self.fs_hz
            if entry.stale and published_s >= _UPDATE_S and kind in self._entries:
                self._publish(self._changed(entry.known, update=True))

    def cause(self, kind: str, onset: int, text: str, evidence: Evidence, priority: Priority | None = None) -> None:
        """The cause of `kind` holds now; call repeatedly while it does, until `condition_cleared` or `clear`.

        Args:
            priority: where it has risen above the configured one; an alarm that is up is then raised again.
        """
        if not self.limits(kind).enabled:
            return
        entry = self._entry_up(kind)
        if entry is not None:
            self._update(entry, text, evidence, again=entry.gone_since is not None)
            entry.gone_since = None
            if priority is not None and PRIORITY_RANK[priority] > PRIORITY_RANK[entry.known.priority]:
                self._rise(entry, priority)
            return
        if self.covered(kind):
            self._pending.pop(kind, None)  # once uncovered, the cause must hold for its delay again
            return
        since, onset = self._pending.setdefault(kind, (self.sample, onset))
        if (self.sample - since) / self.fs_hz >= self.limits(kind).delay_s:
            self._raise(kind, onset, text, evidence, priority)

    def happened(self, kind: str, onset: int, text: str, evidence: Evidence) -> bool:
        """A momentary cause occurred; the alarm stays up for `hold_s`, so that repetitions are one alarm.

        Returns:
            False if a higher alarm covers it or the kind is disabled.
        """
        entry = self._entry_up(kind)
        if entry is not None:
            self._update(entry, entry.known.text, evidence, again=True)
            entry.gone_since = self.sample
            return True
        if not self.limits(kind).enabled or self.covered(kind):
            return False
        self._raise(kind, onset, text, evidence)
        self._entries[kind].gone_since = self.sample
        return True

    def condition_cleared(self, kind: str, since: int | None = None) -> None:
        """The cause of `kind` is gone since a sample (default: now); its alarm ends after `hold_s`."""
        self._pending.pop(kind, None)
        entry = self._entries.get(kind)
        if entry is None or not entry.up or entry.gone_since is not None:
            return
        entry.gone_since = self.sample if since is None else since
        if self.limits(kind).hold_s == 0:
            self._end(kind)

    def clear(self, kind: str) -> None:
        """End an alarm without hold time: there is no signal to tell whether its cause comes back."""
        self._pending.pop(kind, None)
        entry = self._entries.get(kind)
        if entry is None or not entry.up:
            return
        if entry.gone_since is None:
            entry.gone_since = self.sample
        self._end(kind)

    def refine(self, kind: str, evidence: Evidence, text: str | None = None) -> None:
        """Add later findings to an alarm that is up: published at once with `text`, else with the next change."""
        entry = self._entries.get(kind)
        if entry is None or not entry.up:
            return
        self._update(entry, text or entry.known.text, evidence, again=False)
        if text is not None:
            self._publish(self._changed(entry.known, update=True))

    def restore(self, changes: Iterable[Alarm], sample: int) -> None:
        """Take over the alarms of an earlier engine, see `AlarmEngine.restore`.

        Whether a cause still holds is unknown, so it counts as gone from `sample` until a rule reports it.
        """
        self.advance(sample)
        for alarm in changes:
            self._count_onset(alarm)
            if alarm.state == "cleared":
                self._entries.pop(alarm.kind, None)
                self._cleared[alarm.kind] = alarm
            else:
                gone_since = None if alarm.state == "latched" or alarm.kind in REPORTED else sample
                self._entries[alarm.kind] = _Entry(alarm, alarm, gone_since)

    def acknowledge(self, alarm_id: str, who: str) -> None:
        """Acknowledge an alarm; a latched one is cleared.

        Raises:
            ValueError: no such active alarm.
        """
        for entry in self._entries.values():
            if entry.known.alarm_id == alarm_id:
                if entry.known.state != "acknowledged":
                    state = "acknowledged" if entry.up else "cleared"
                    self._publish(self._changed(entry.known, state=state, acknowledged_by=who))
                return
        raise ValueError(f"alarm {alarm_id!r} is not active on bed {self.bed!r}")

    # -- changes ------------------------------------------------------------------------------------------

    def _raise(self, kind: str, onset: int, text: str, evidence: Evidence, priority: Priority | None = None) -> None:
        """Raise a new alarm, or an earlier one again: one that latched, or ended and has the same id."""
        self._pending.pop(kind, None)
        limits = self.limits(kind)
        alarm = Alarm(
            alarm_id=f"{self.bed}/{kind}/{onset}",
            bed=self.bed,
            kind=kind,
            category="technical" if kind in TECHNICAL else "physiological",
            priority=max(limits.priority, priority or "low", key=PRIORITY_RANK.__getitem__),
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
        self._count_onset(alarm)
        self._publish(alarm)
        for lower in COVERS.get(kind, ()):
            if self.up(lower) and self.covered(lower):
                self._entries[lower].gone_since = self.sample
                self._end(lower, covered_by=alarm.alarm_id)

    def _rise(self, entry: _Entry, priority: Priority) -> None:
        """The same alarm at a higher priority: it sounds again, also one that was acknowledged."""
        count = entry.known.count + 1
        risen = self._changed(entry.known, state="onset", priority=priority, count=count, acknowledged_by="")
        self._publish(risen)

    def _entry_up(self, kind: str) -> _Entry | None:
        """The alarm that takes over a cause that holds now; an alarm past its hold time ends first."""
        entry = self._entries.get(kind)
        if entry is not None and entry.up and self._gone_s(entry) > self._hold_s(kind):
            self._end(kind)
        entry = self._entries.get(kind)
        return entry if entry is not None and entry.up else None

    def _gone_s(self, entry: _Entry) -> float:
        return 0.0 if entry.gone_since is None else (self.sample - entry.gone_since) / self.fs_hz

    def _end(self, kind: str, covered_by: str = "") -> None:
        """Clear an alarm, or latch it until it is acknowledged."""
        known = self._entries[kind].known
        if self._limited(kind) and self._recent_onsets(kind) >= self.limits(kind).per_hour:
            # the hour's onsets are used up: it could not be raised again if its cause came back
            if known.priority != self.limits(kind).priority:
                self._publish(self._changed(known, update=True, priority=self.limits(kind).priority))
            return
        state = "latched" if self._latches(known) else "cleared"
        self._publish(self._changed(known, state=state, covered_by=covered_by))

    def _latches(self, alarm: Alarm) -> bool:
        latch = self.limits(alarm.kind).latch
        if alarm.category == "technical" or alarm.state == "acknowledged" or latch == "never":
            return False
        return latch == "always" or alarm.priority == "high"

    def _publish(self, alarm: Alarm) -> None:
        if alarm.state == "cleared":
            del self._entries[alarm.kind]
            self._cleared[alarm.kind] = alarm
        else:
            entry = self._entries.setdefault(alarm.kind, _Entry(alarm, alarm))
            entry.known = entry.published = alarm
            entry.stale = False
            if alarm.state == "onset" and not alarm.update:
                entry.gone_since = None
                self._audio.on_onset(alarm)
        self._changes.append(alarm)

    def _changed(self, alarm: Alarm, **changes: object) -> Alarm:
        return msgspec.structs.replace(alarm, **({"update": False, "decided_sample": self.sample} | changes))

    def _update(self, entry: _Entry, text: str, evidence: Evidence, again: bool) -> None:
        count = entry.known.count + again
        known = msgspec.structs.replace(entry.known, text=text, evidence=self._context(evidence), count=count)
        entry.stale = entry.stale or known != entry.known
        entry.known = known

    # -- onsets per hour ----------------------------------------------------------------------------------

    def _count_onset(self, alarm: Alarm) -> None:
        """Count an onset of a kind whose onsets per hour are limited."""
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
        """Hold time, s; it grows with each recent onset of a limited kind."""
        return self.limits(kind).hold_s * (max(1, self._recent_onsets(kind)) if self._limited(kind) else 1)
