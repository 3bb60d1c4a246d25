"""Scheduler: reads each bed when it is due, as much as its pace allows, and watches silence and lateness."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from itertools import chain, islice
from typing import Final, Literal

from detector import advance_together
from monitor.bus.server import Bus
from monitor.engine.bed import Bed
from monitor.engine.bed_view import STATUS_S
from monitor.engine.pacing import LOOP_S, WARM_UP_S, piece_s, read_every_s, stagger_s, turn_s
from monitor.engine.publisher import Publisher
from monitor.sources import Chunk

__all__ = ["DueQueue", "Scheduler", "Thinning"]

Thinned = Literal["waves", "status"]

_TURN_BEDS = 128  # most beds in one turn, before requests are served and beats scored
_ENDED_S = 1.0  # interval of the turns of a bed that has ended, for its status


class DueQueue:
    """Beds ordered by the time at which they are due.

    Attributes:
        late_s: largest delay among the beds returned by the last `take`, s.
    """

    def __init__(self) -> None:
        self.late_s = 0.0
        self._queue: list[tuple[float, int, str]] = []
        self._put = 0  # beds with the same due time are taken in the order of `put`

    def put(self, bed: str, due_s: float) -> None:
        """Enter a bed."""
        self._put += 1
        heapq.heappush(self._queue, (due_s, self._put, bed))

    def take(self, now_s: float, most: int = _TURN_BEDS) -> list[str]:
        """Remove and return the beds that are due, longest delay first."""
        due: list[str] = []
        self.late_s = now_s - self._queue[0][0] if self._queue and self._queue[0][0] < now_s else 0.0
        while self._queue and self._queue[0][0] <= now_s and len(due) < most:
            due.append(heapq.heappop(self._queue)[2])
        return due

    def wait_s(self, now_s: float) -> float:
        """Time until a bed is due, s; at most LOOP_S, because subscribers and requests are served as well."""
        return min(LOOP_S, max(0.0, self._queue[0][0] - now_s)) if self._queue else LOOP_S


class Thinning:
    """Leaves out display data while beds are read late: first waves, then most of the status.

    Attributes:
        thinned: left out now.
    """

    LATE_S: Final[tuple[tuple[float, Thinned], ...]] = ((0.5, "waves"), (1.0, "status"))
    STEADY_S: Final = 3.0  # all beds must be in time for this long before anything is sent again

    def __init__(self) -> None:
        self.thinned: tuple[Thinned, ...] = ()
        self._late_until_s = float("-inf")

    def update(self, late_s: float, now_s: float) -> bool:
        """Take the delay of the latest bed, s; returns whether `thinned` changed."""
        thinned = tuple(stream for limit_s, stream in self.LATE_S if late_s >= limit_s)
        if late_s >= self.LATE_S[0][0] / 2:
            self._late_until_s = now_s
        if len(thinned) > len(self.thinned) or (
            not thinned and self.thinned and now_s - self._late_until_s >= self.STEADY_S
        ):
            self.thinned = thinned
            return True
        return False


class Scheduler:
    """Reads from beds when they are due.

    Args:
        beds: name -> bed; the caller may replace the bed of a name.
        speed: of replays, times real time; 0 = as fast as possible.
        bus: knows which beds a display shows.
        on_notice: receives one line for a person.
        clock: monotonic, s.

    Attributes:
        started_s: when the monitor started, by the clock.
        thinning: what is left out while beds are late.
    """

    def __init__(
        self,
        beds: dict[str, Bed],
        speed: float,
        bus: Bus,
        publisher: Publisher,
        on_notice: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self.started_s = clock()
        self.thinning = Thinning()
        self._beds = beds
        self._speed = speed
        self._bus = bus
        self._out = publisher
        self._on_notice = on_notice
        self._clock = clock
        self._queue = DueQueue()
        self._late_s = 0.0
        self._viewed = (-1, 0)  # number of subscriptions, and the beds shown by displays at that time

    def begin(self) -> None:
        """Start all beds: spread over a second, so that their full seconds and their status do not coincide."""
        self.started_s = self._clock()
        for number, bed in enumerate(self._beds.values()):
            began_s = self.started_s + stagger_s(number, len(self._beds), self._speed)
            bed.input.start(self.started_s, began_s)
            bed.view.status_due_s = self.started_s + STATUS_S * number / len(self._beds)
            paced = self._speed > 0 and not bed.source.live
            self._queue.put(bed.name, began_s + LOOP_S if paced else self.started_s)

    def due(self, now_s: float) -> list[Bed]:
        """Beds to read in this turn; the caller puts each back."""
        beds = [self._beds[name] for name in self._queue.take(now_s)]
        if self._speed > 0:
            self._watch_turn(now_s)
        return beds

    def put_back(self, bed: Bed, moved: bool) -> None:
        """Enter a bed again; `moved`: samples came in this turn. A late replay is due in the past."""
        due_s, live = self._clock(), bed.source.live
        if bed.ended:
            due_s += _ENDED_S
        elif self._speed > 0 or live:
            every_s = read_every_s(len(self._beds), live=live)
            if every_s > LOOP_S and self._bus.has_viewers(bed.name) and "waves" not in self.thinning.thinned:
                every_s = min(every_s, read_every_s(self._beds_viewed(), live=live))
            due_s += every_s
            if moved:
                due_s = min(due_s, bed.input.arrivals.next_due_s(bed.now, bed.input.detector.pacer.waiting))
        self._queue.put(bed.name, due_s)

    def pause_s(self, began_s: float) -> float:
        """Pause after a turn, s: until a bed is due; with many beds at least until enough beats are collected."""
        now_s = self._clock()
        return max(self._queue.wait_s(now_s), began_s + turn_s(len(self._beds)) - now_s)

    def take_late_s(self) -> float:
        """Largest delay of a bed since the last call, s."""
        late_s, self._late_s = self._late_s, 0.0
        return late_s

    def read(self, beds: Iterable[Bed]) -> set[str]:
        """Read from beds what their pace allows, and run their detectors over it together.

        Args:
            beds: those that are due; ended beds are skipped.

        Returns:
            Names of the beds from which anything came.
        """
        moved: set[str] = set()
        taken: list[tuple[Bed, Chunk, int]] = []
        for bed in [bed for bed in beds if not bed.ended]:
            moved.add(bed.name)  # unless it is found below that nothing came
            before, began = bed.now, bed.input.began
            with bed.guard():
                chunk = self._read_bed(bed)
                if chunk is not None:
                    taken.append((bed, chunk, chunk.first_sample - before if began else 0))
                elif not bed.ended:
                    moved.discard(bed.name)
        pieces = [bed.input.pieces(chunk) for bed, chunk, _ in taken]
        found = iter(advance_together(chain.from_iterable(pieces)))
        for (bed, chunk, missing), leads in zip(taken, pieces, strict=True):
            events = list(islice(found, len(leads)))
            with bed.guard():
                bed.input.apply(chunk, events)
                self._out.signal(bed, chunk, missing)
        return moved

    # -- inside -------------------------------------------------------------------------------------------

    def _read_bed(self, bed: Bed) -> Chunk | None:
        """Read a piece with samples; None when nothing came, or the bed has just ended."""
        bed_input = bed.input
        duration_s = bed_input.duration_s
        if bed.source.live and duration_s and self._clock() - self.started_s >= duration_s:
            bed_input.end()
            return None
        most = round(piece_s(len(self._beds)) * bed.source.fs_hz)
        most = int(min(most, bed_input.arrivals.allowed(bed.now)))
        if most <= 0:
            return None
        chunk = bed.read(most, self._out)
        if bed_input.ended:
            return None
        if chunk is None or chunk.samples.size == 0:
            bed.watch_silence(self._out)
            return None
        return chunk

    def _beds_viewed(self) -> int:
        """Number of beds whose waves a display shows."""
        if self._viewed[0] != self._bus.viewers:
            self._viewed = self._bus.viewers, sum(self._bus.has_viewers(name) for name in self._beds)
        return self._viewed[1]

    def _watch_turn(self, now_s: float) -> None:
        """Thin display data while beds are read late; a line is printed when that starts and ends."""
        late_s = self._queue.late_s
        self._late_s = max(self._late_s, late_s)
        if now_s - self.started_s < WARM_UP_S or not self.thinning.update(late_s, now_s):
            return
        thinned = " and ".join(self.thinning.thinned)
        self._on_notice(
            f"beds are read {late_s:.1f} s late: less {thinned} until they are in time"
            if thinned
            else "beds are read in time again: all waves and status"
        )
