"""Journal watch: events and alarms about the journal itself, and about runs that were killed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from monitor.engine.bed import Bed
from monitor.engine.publisher import Publisher
from monitor.journal import Journal
from monitor.messages import Alarm, AlarmMessage, decode

__all__ = ["JournalWatch"]

_NAMED_ALARMS = 10  # of a killed run, in one line


class JournalWatch:
    """Watches whether the journal can be written.

    Args:
        beds: name -> bed.
        journal: the journal.
        publisher: receives events and alarms.
        on_notice: receives one line for a person.
    """

    def __init__(
        self, beds: Mapping[str, Bed], journal: Journal, publisher: Publisher, on_notice: Callable[[str], None]
    ) -> None:
        self._beds = beds
        self._journal = journal
        self._out = publisher
        self._on_notice = on_notice
        self._failing = False

    @property
    def changed(self) -> bool:
        """Whether the journal has failed, or works again, since the last `publish`."""
        return bool(self._journal.losses.failure) != self._failing

    def publish(self) -> None:
        """Raise `journal_failed` in every bed, or clear it and publish how many rows were lost."""
        losses = self._journal.losses
        self._failing = not self._failing
        text = f"the journal cannot be written: {losses.failure}" if self._failing else ""
        for bed in self._beds.values():
            bed.set_journal_failed(self._failing, text, self._out)
            if not self._failing:
                back = f"the journal is written again; lost: {losses.summary()}"
                self._out.event(bed, "journal_back", back, losses.total)

    def publish_killed_runs(self) -> None:
        """Publish which alarms were active when an earlier run was killed: it could not clear them."""
        for epoch in self._journal.died:
            bodies = [decode(raw) for raw in self._journal.active_alarms(epoch)]
            alarms = [body.alarm for body in bodies if isinstance(body, AlarmMessage)]
            self._on_notice(_killed(epoch, alarms))
            for bed in (bed for bed in self._beds.values() if bed.resumed is None):
                of_bed = [alarm for alarm in alarms if alarm.bed == bed.name]
                self._out.event(bed, "monitor_died", _killed(epoch, of_bed), max(1, len(of_bed)))


def _killed(epoch: str, alarms: list[Alarm]) -> str:
    named = ", ".join(f"{alarm.kind} ({alarm.state})" for alarm in alarms[-_NAMED_ALARMS:])
    more = f" and {len(alarms) - _NAMED_ALARMS} before" if len(alarms) > _NAMED_ALARMS else ""
    return f"the monitor of run {epoch} was killed; alarms then active: {named or 'none'}{more}"
