"""Journal watch: events and alarms about the journal itself, and about runs that were killed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from monitor.engine.bed import Bed
from monitor.engine.publisher import Publisher
from monitor.journal import Journal
from monitor.messages import Alarm, AlarmMessage, decode

__all__ = ["JournalWatch"]

_NAMED_ALARMS = 10  # of a killed run, in one line


@dataclass(eq=False)
class JournalWatch:
    """Watches whether the journal can be written; `on_notice` receives one line for a person."""

    beds: Mapping[str, Bed]
    journal: Journal
    publisher: Publisher
    on_notice: Callable[[str], None]
    _failing: bool = field(default=False, init=False)

    @property
    def changed(self) -> bool:
        """Whether the journal has failed, or works again, since the last `publish`."""
        return bool(self.journal.losses.failure) != self._failing

    def publish(self) -> None:
        """Raise `journal_failed` in every bed, or clear it and publish how many rows were lost."""
        losses = self.journal.losses
        self._failing = not self._failing
        text = f"the journal cannot be written: {losses.failure}" if self._failing else ""
        for bed in self.beds.values():
            with bed.guard():
                bed.set_technical_alarm("journal_failed", self._failing, text, self.publisher)
                if not self._failing:
                    back = f"the journal is written again; lost: {losses.summary()}"
                    self.publisher.event(bed, "journal_back", back, losses.total)

    def publish_killed_runs(self) -> None:
        """Publish which alarms were active when an earlier run was killed: it could not clear them."""
        for epoch in self.journal.died:
            bodies = [decode(raw) for raw in self.journal.active_alarms(epoch)]
            alarms = [body.alarm for body in bodies if isinstance(body, AlarmMessage)]
            self.on_notice(_killed(epoch, alarms))
            for bed in (bed for bed in self.beds.values() if bed.resumed is None):
                of_bed = [alarm for alarm in alarms if alarm.bed == bed.name]
                with bed.guard():
                    self.publisher.event(bed, "monitor_died", _killed(epoch, of_bed), max(1, len(of_bed)))


def _killed(epoch: str, alarms: list[Alarm]) -> str:
    named = ", ".join(f"{alarm.kind} ({alarm.state})" for alarm in alarms[-_NAMED_ALARMS:])
    more = f" and {len(alarms) - _NAMED_ALARMS} before" if len(alarms) > _NAMED_ALARMS else ""
    return f"the monitor of run {epoch} was killed; alarms then active: {named or 'none'}{more}"
