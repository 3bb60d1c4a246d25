"""No QRS in the time watched: a pause, and asystole when it lasts."""

from __future__ import annotations

from collections import deque

from detector import Gap, Quality, QualitySpan, Tick
from monitor.alarms.book import AlarmBook
from monitor.alarms.evidence import measured
from monitor.messages import Evidence

__all__ = ["Silence"]

_KINDS = ("asystole", "pause")  # the higher first: it covers the lower
# Of a second with missing samples, the others were watched. A flat line is a heart that stands still, unless the source
# says that an electrode is off: then it gives no valid samples.
_WATCHED = frozenset((Quality.GOOD, Quality.GAP, Quality.FLAT))
_AWAY_S = 1.5  # longest loss of signal across which a silence goes on: two beats at a usual rate would be missed in it
_BACK = 3  # intervals under its limit that end an asystole: four QRS complexes
_KEPT_SPANS = 8  # R-peaks are decided up to 2 s late
_KEPT_LOSSES = 256


class Silence:
    """Rules on the time watched since the last QRS, or since the watch began if that is later.

    Missing samples, and a signal that is away for up to 1.5 s, are time not watched: it counts as no silence, but the
    silence goes on across it. Where the signal restarts, the last R-peaks before were not decided: that is not watched
    either. Noise restarts the time of a silence that has raised no asystole. An asystole stays up through noise, until
    four QRS complexes in good signal with less than its limit between each two: one alone may be the last of a dying
    heart, and three are in five minutes of amplifier noise. A longer loss of the signal ends it, because the state of
    the heart is not known any more.

    Silence is checked at each tick (once a second) and at the QRS that ends it. R-peaks are decided up to 2 s late, so
    a silence of 4 to 6 s may have ended before a tick reports it; it still raises its alarm.

    Attributes:
        silent_s: time watched since the last QRS or the begin of the watch, s; 0 while noise is watched.
    """

    def __init__(self, book: AlarmBook) -> None:
        self._book = book
        self.silent_s = 0.0
        self._back = 0  # consecutive QRS during an asystole with less than its limit before each
        self._since = 0  # last QRS, or begin of the watch
        self._began = False
        self._decided = 0  # R-peaks before this sample are known
        self._watching = True
        self._spans: deque[tuple[int, Quality]] = deque(maxlen=_KEPT_SPANS)  # end and quality of each second
        self._away = 0  # samples lost since the last second that was watched
        self._losses: deque[tuple[int, int]] = deque()  # stretches not watched since then, from one sample to another
        self._lost = 0  # samples of earlier such stretches

    def on_quality(self, span: QualitySpan) -> bool:
        """Take the quality of the next stretch of signal; returns whether nothing is known of the heart any more."""
        self._watching = span.quality in _WATCHED
        self._begin(span.first_sample)
        self._spans.append((span.end_sample, span.quality))
        if self._watching:
            self._away = 0
        elif span.quality is Quality.LEADS_OFF:
            return self._lose(span.first_sample, span.end_sample, restarts=True)
        elif span.quality is Quality.SETTLING or self._book.holds("asystole"):
            self._leave_out(span.first_sample, span.end_sample)
        else:
            self._restart(span.end_sample)  # the watch begins here at the earliest
            self._book.condition_cleared("pause")
        return False

    def on_gap(self, gap: Gap) -> bool:
        """Samples are missing; returns whether nothing is known of the heart any more."""
        return self._lose(gap.first_sample, gap.first_sample + gap.n_samples, restarts=gap.effect == "restart")

    def on_tick(self, tick: Tick) -> None:
        """Take the R-peaks of the last second, or that there are none."""
        self._begin(tick.sample)
        for r_sample in tick.r_samples:
            self._on_qrs(r_sample)
        self._decided = tick.decided_until
        self.silent_s = max(0.0, self._watched_s(tick.decided_until)) if self._watching else 0.0
        for kind in _KINDS:
            if self._watching and self.silent_s >= self._book.limits(kind).limit:
                self._report(kind, self.silent_s)

    def interrupt(self, sample: int) -> None:
        """Nothing is known of the heart up to `sample`."""
        self._restart(sample)
        for kind in _KINDS:
            self._book.clear(kind)

    def _begin(self, first_sample: int) -> None:
        """The first sample of a source may have any index."""
        if not self._began:
            self._began = True
            self._decided = first_sample
            self._since = max(self._since, first_sample)

    def _restart(self, sample: int) -> None:
        """The time of the silence starts at this sample at the earliest."""
        self._since = max(self._since, sample)
        while self._losses and self._losses[0][1] <= self._since:
            self._losses.popleft()
        self._lost = 0

    def _on_qrs(self, r_sample: int) -> None:
        """A QRS ends a pause; the fourth one ends an asystole."""
        quality = self._quality_at(r_sample)
        if r_sample <= self._since or quality is Quality.FLAT:
            return
        up = self._book.holds("asystole")
        if up and quality not in _WATCHED:
            return  # noise
        soon = (r_sample - self._since) / self._book.fs_hz < self._book.limits("asystole").limit
        self._back = self._back + 1 if up and soon else 0
        if self._back >= _BACK:
            self._book.condition_cleared("asystole")
        silent_s = self._watched_s(r_sample)
        for kind in _KINDS:
            if self._watching and silent_s >= self._book.limits(kind).limit:
                self._report(kind, silent_s)
        self._restart(r_sample)
        self._book.condition_cleared("pause")

    def _quality_at(self, sample: int) -> Quality:
        """Quality of the second of this sample; good where that is not known any more."""
        return next((quality for end, quality in self._spans if sample < end), Quality.GOOD)

    def _watched_s(self, until: int) -> float:
        """Time watched from the begin of the silence to `until`, s."""
        lost = self._lost + sum(
            max(0, min(end, until) - max(first, self._since)) for first, end in self._losses if first < until
        )
        return (until - self._since - lost) / self._book.fs_hz

    def _lose(self, first: int, end: int, *, restarts: bool) -> bool:
        """Note that the signal is away; returns whether it has been for `_AWAY_S`, after which nothing is known."""
        self._away += end - first
        if restarts:
            first = min(first, self._decided)
        if self._away > _AWAY_S * self._book.fs_hz:
            self.interrupt(end)
            return True
        self._leave_out(first, end)
        return False

    def _leave_out(self, first: int, end: int) -> None:
        """A stretch was not watched; gaps within a second come before the verdict on it."""
        losses = self._losses
        while losses and losses[-1][1] >= first:
            before, until = losses.pop()
            first, end = min(first, before), max(end, until)
        losses.append((first, end))
        if len(losses) > _KEPT_LOSSES:
            early, until = losses.popleft()
            self._lost += until - max(early, self._since)

    def _report(self, kind: str, silent_s: float) -> None:
        evidence = measured(Evidence(), silent_s, self._book.limits(kind).limit, "s")
        flat = "; flat line: check electrodes and cable" if self._spans and self._spans[-1][1] is Quality.FLAT else ""
        self._book.cause(kind, self._since, f"no QRS for {silent_s:.1f} s{flat}", evidence)
