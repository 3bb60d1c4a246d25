"""Samples in: which bed is looked at when, how much of it is read, and what is told where it is silent or late."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from detector import advance_together
from monitor.bus.server import Bus
from monitor.engine.bed import Bed
from monitor.engine.publisher import Publisher
from monitor.engine.schedule import LOOP_S, Schedule, Thinning, look_every_s, piece_s, stagger_s, turn_s
from monitor.sources import Chunk

__all__ = ["Scheduler"]

_WARM_UP_S = 30.0  # of signal: libraries load with the first window, and nobody relies on a monitor that just began
_ENDED_S = 1.0  # so often a bed is looked at that has ended, for its status


class Scheduler:
    """Reads from beds when they are due.

    Args:
        beds: name -> bed; the caller may put another bed under a name.
        speed: of replays, times real time; 0 = as fast as possible.
        bus: knows who looks at waves.
        out: told what comes in.
        tell: given one line for a person.
        clock: monotonic, s.

    Attributes:
        started_s: when the monitor began, by the clock.
        late_s: how late a bed was looked at, at most since the last `take_late_s`, s.
        thinning: what is left out because of it.
    """

    def __init__(
        self,
        beds: dict[str, Bed],
        speed: float,
        bus: Bus,
        out: Publisher,
        tell: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self.started_s = clock()
        self.late_s = 0.0
        self.thinning = Thinning()
        self._beds = beds
        self._speed = speed
        self._bus = bus
        self._out = out
        self._tell = tell
        self._clock = clock
        self._schedule = Schedule()
        self._viewed = (-1, 0)  # of so many subscriptions: beds that somebody looks at

    def begin(self, status_s: float) -> None:
        """Now: spread the beds over a second, so that their seconds, and status every `status_s`, are not one burst."""
        self.started_s = self._clock()
        for number, bed in enumerate(self._beds.values()):
            bed.began_s = self.started_s + stagger_s(number, len(self._beds), self._speed)
            bed.last_data_s = self.started_s
            bed.status_due_s = self.started_s + status_s * number / len(self._beds)
            self._schedule.put(bed.name, bed.began_s + LOOP_S if bed.follows_clock else self.started_s)

    def due(self, now_s: float) -> list[Bed]:
        """Beds to look at in this turn; each is to be put back."""
        beds = [self._beds[name] for name in self._schedule.take(now_s)]
        if self._speed > 0:
            self._watch_turn(now_s)
        return beds

    def put_back(self, bed: Bed, moved: bool) -> None:
        """Look at a bed again when something can be due; `moved`: something came now."""
        self._schedule.put(bed.name, self._due_s(bed, moved))

    def pause_s(self, began_s: float) -> float:
        """How long to wait after a turn: until a bed is due, but for the beats of many beds at least."""
        now_s = self._clock()
        return max(self._schedule.wait_s(now_s), began_s + turn_s(len(self._beds)) - now_s)

    def take_late_s(self) -> float:
        """`late_s`, which begins anew."""
        late_s, self.late_s = self.late_s, 0.0
        return late_s

    def look(self, beds: Iterable[Bed], lose: Callable[[Bed, Exception], None]) -> set[str]:
        """Read from beds what the pace allows, and run their detectors over it in step.

        Args:
            beds: those that are due; what has ended is left alone.
            lose: told of a bed whose source, or whose detector on what that gave, did something wrong.

        Returns:
            Names of the beds from which anything came.
        """
        moved: set[str] = set()
        taken: list[tuple[Bed, Chunk, int]] = []
        for bed in [bed for bed in beds if not bed.ended]:
            before, began = bed.now, bed.began
            try:
                chunk = self._read(bed)
                if chunk is not None:
                    taken.append((bed, chunk, chunk.first_sample - before if began else 0))
                elif bed.ended:
                    moved.add(bed.name)
            except Exception as error:
                moved.add(bed.name)
                lose(bed, error)
        found = advance_together((bed.detector, chunk.samples, chunk.first_sample) for bed, chunk, _ in taken)
        for (bed, chunk, missing), events in zip(taken, found, strict=True):
            moved.add(bed.name)
            try:
                if isinstance(events, Exception):
                    raise events
                bed.apply(chunk, events)
                self._out.signal(bed, chunk, missing)
            except Exception as error:
                lose(bed, error)
        return moved

    def watch_lateness(self, bed: Bed) -> None:
        """A bed that keeps real time must not fall behind unseen; a faster replay promises no time."""
        if bed.ended or (bed.now - bed.first_sample) / bed.source.fs_hz < _WARM_UP_S:
            return
        if bed.source.live:
            bed.behind(bed.waited_s, self._out)
        elif 0 < self._speed <= 1:
            bed.behind(bed.late_s, self._out)

    # -- inside -------------------------------------------------------------------------------------------

    def _read(self, bed: Bed) -> Chunk | None:
        """A piece of a bed that has not ended; None where nothing came, or it has ended now."""
        if bed.source.live and bed.duration_s and self._clock() - self.started_s >= bed.duration_s:
            bed.end()
            return None
        most = self._allowed(bed)
        if most <= 0:
            return None
        chunk = bed.read(most, self._out)
        if bed.ended:
            return None
        if chunk is None or chunk.samples.size == 0:
            self._watch_silence(bed)
            return None
        return chunk

    def _due_s(self, bed: Bed, moved: bool) -> float:
        """When a bed is looked at next; in the past where it is late, unless there was nothing to be had."""
        now_s = self._clock()
        if bed.ended:
            return now_s + _ENDED_S
        if self._speed == 0 and not bed.source.live:
            return now_s
        every_s = look_every_s(len(self._beds), live=bed.source.live)
        if every_s > LOOP_S and self._bus.has_viewers(bed.name) and "waves" not in self.thinning.thinned:
            every_s = min(every_s, look_every_s(self._beds_viewed(), live=bed.source.live))
        if bed.source.live or not moved:
            return now_s + every_s
        return min(now_s + every_s, bed.tick_due_s)

    def _beds_viewed(self) -> int:
        """Beds whose waves somebody looks at."""
        if self._viewed[0] != self._bus.viewers:
            self._viewed = self._bus.viewers, sum(self._bus.has_viewers(name) for name in self._beds)
        return self._viewed[1]

    def _allowed(self, bed: Bed) -> int:
        """How many samples may be read now: all a live source has, or what is due at the replay speed."""
        most = round(piece_s(len(self._beds)) * bed.source.fs_hz)
        if bed.source.live or self._speed == 0:
            return most
        taken = bed.now - bed.first_sample if bed.began else 0
        due = (self._clock() - bed.began_s) * self._speed * bed.source.fs_hz
        return min(most, math.floor(due + 1e-6) - taken)  # the last of a second, not all but the last

    def _watch_silence(self, bed: Bed) -> None:
        """A live source that gives nothing is an alarm, never a frozen trace."""
        silent_s = self._clock() - bed.last_data_s
        if bed.state in ("starting", "running") and silent_s >= bed.limits.no_data.limit:
            hangs = ", whose read does not come back" if bed.hangs else ""
            bed.silent("no_data", f"no samples for {silent_s:.1f} s from {bed.source.name}{hangs}", self._out)

    def _watch_turn(self, now_s: float) -> None:
        """Where beds are looked at too late, what is only for looking goes first; told when that begins and ends."""
        late_s = self._schedule.late_s
        self.late_s = max(self.late_s, late_s)
        if now_s - self.started_s < _WARM_UP_S or not self.thinning.look(late_s, now_s):
            return
        thinned = " and ".join(self.thinning.thinned)
        self._tell(
            f"beds are looked at {late_s:.1f} s late: less {thinned} until they are in time"
            if thinned
            else "beds are looked at in time again: all waves and status"
        )
