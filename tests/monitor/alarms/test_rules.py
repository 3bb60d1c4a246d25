"""Rules of the alarm engine under arbitrary events: a hypothesis state machine with a simple model.

The model is independent of the engine. It folds the messages as a subscriber would, and keeps the few facts that the
rules depend on: the last R-peak, the last anomalous beats, the last interruption of the signal.
"""

from __future__ import annotations

from collections import defaultdict, deque
from itertools import pairwise

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from detector import Gap, Quality
from monitor.messages import PRIORITY_RANK, Alarm
from tests.monitor.alarms.helpers import FS_HZ, LEGAL_STATES, QrsShape, SimulatedBed

SINGLE = {"anomalous_beat"}
RUN = {"anomaly_run", "anomaly_burden", *SINGLE}
SLOW = {"bradycardia", "pause"}
SAME_CAUSE = {
    "ventricular_fibrillation": {
        "asystole", "ventricular_run", "extreme_bradycardia", "extreme_tachycardia", "tachycardia", *SLOW, *RUN,
        "irregular_rhythm",
    },
    "asystole": {"extreme_bradycardia", *SLOW},
    "ventricular_run": {"extreme_tachycardia", "tachycardia", "irregular_rhythm", *RUN},
    "extreme_bradycardia": SLOW,
    "extreme_tachycardia": {"tachycardia"},
    "anomaly_run": {"anomaly_burden", *SINGLE},
    "anomaly_burden": SINGLE,
    "source_lost": {"no_data"},
}  # fmt: skip
HOUR = round(3600 * FS_HZ)


class AlarmRules(RuleBasedStateMachine):
    """Arbitrary beats, rhythms, gaps, quality, source states, acknowledgements, audio pauses."""

    def __init__(self) -> None:
        super().__init__()
        self.bed = SimulatedBed(knows_rr=True)
        self.alarms: dict[str, Alarm] = {}  # by id: the last message
        self.decided = 0
        self.low_onsets: dict[str, deque[int]] = defaultdict(deque)
        self.paused_until, self.paused_rank = 0, 0
        self.silent: set[str] = set()
        # facts
        self.interrupted = 0  # the rules of beats and waves may use nothing before this sample
        self.good = True
        self.away = 0  # samples of signal that is away, since the last second that was watched
        self.unknown = 0  # the rule of silence may use nothing before this sample
        self.final = 0  # R-peaks before this sample are known
        self.losses: list[tuple[int, int]] = []  # stretches not watched
        self.back = 0  # consecutive QRS with less than 4 s before each
        self.may_end = False  # the third such QRS in this second, or the signal is away
        self.since_qrs = 0  # last R-peak, or end of bad signal
        self.longest_silence = 0  # longest silence that ended or lasts in this second
        self.fibrillating_since: int | None = None
        self.odd: list[tuple[int, bool]] = []  # R-peak and whether wide, of consecutive anomalous beats up to now
        self.scored: list[tuple[int, bool]] = []  # the same of consecutive scored beats
        self.odd_minute: list[int] = []

    # -- messages against the model -----------------------------------------------------

    def absorb(self, changes: list[Alarm], *, scorable: bool) -> None:
        for alarm in changes:
            before = self.alarms.get(alarm.alarm_id)
            assert alarm.decided_sample >= max(self.decided, alarm.onset_sample), "decided in the past"
            self.decided = alarm.decided_sample
            if alarm.update:
                assert before is not None, "an update without an alarm"
                assert (alarm.state, alarm.acknowledged_by) == (before.state, before.acknowledged_by)
                assert alarm != before
            else:
                assert alarm.state in LEGAL_STATES[before.state if before else None], (before, alarm)
            if before is not None:
                assert (alarm.onset_sample, alarm.kind) == (before.onset_sample, before.kind)
                assert alarm.count >= before.count
            self.check_latch(alarm, before)
            if alarm.kind == "asystole" and before is not None and self.ends(before, alarm):
                assert self.may_end or alarm.covered_by
            if alarm.state == "onset" and not alarm.update:
                self.check_onset(alarm, before, scorable)
            self.alarms[alarm.alarm_id] = alarm

    @staticmethod
    def ends(before: Alarm, alarm: Alarm) -> bool:
        return before.state in ("onset", "acknowledged") and alarm.state in ("latched", "cleared")

    def check_latch(self, alarm: Alarm, before: Alarm | None) -> None:
        high = alarm.category == "physiological" and alarm.priority == "high"
        assert alarm.state != "latched" or high, "only high physiological alarms latch by default"
        if alarm.state == "cleared" and high:
            assert alarm.acknowledged_by, "a high physiological alarm cleared without acknowledgement"
        assert alarm.state != "acknowledged" or alarm.acknowledged_by
        assert alarm.state not in ("onset", "latched") or not alarm.acknowledged_by

    def check_onset(self, alarm: Alarm, before: Alarm | None, scorable: bool) -> None:
        if before is not None:
            assert alarm.count > before.count, "raised again without counting"
            if before.state in ("onset", "acknowledged"):
                assert alarm.kind in ("poor_signal", "leads_off")
                assert PRIORITY_RANK[alarm.priority] > PRIORITY_RANK[before.priority], "raised again while it is up"
        if alarm.priority == "low":
            onsets = self.low_onsets[alarm.kind]
            onsets.append(alarm.decided_sample)
            while onsets[0] <= alarm.decided_sample - HOUR:
                onsets.popleft()
            assert len(onsets) <= 20, f"{len(onsets)} of {alarm.kind} in an hour"
        if PRIORITY_RANK[alarm.priority] > self.paused_rank or alarm.kind in ("no_data", "source_lost"):
            self.paused_until = min(self.paused_until, alarm.decided_sample)
        if alarm.category == "technical":
            return
        assert scorable, "physiological alarm from unscorable signal"
        if before is None:
            across = ("asystole", "pause", "bradycardia", "tachycardia", "extreme_bradycardia", "extreme_tachycardia")
            known = self.unknown if alarm.kind in across else self.interrupted
            assert alarm.onset_sample >= known, "onset before a gap"
        self.check_fact(alarm)

    def check_fact(self, alarm: Alarm) -> None:
        """The cause of an onset is in the model."""
        run = [wide for _, wide in self.odd]
        match alarm.kind:
            case "asystole":
                assert self.longest_silence >= 4 * FS_HZ
            case "pause":
                assert alarm.evidence.value is not None
                assert alarm.evidence.value >= 3
            case "ventricular_fibrillation":
                assert self.fibrillating_since is not None
                assert alarm.decided_sample - self.fibrillating_since >= 4 * FS_HZ
            case "ventricular_run":  # of anomalous beats, or of wide ones since the start
                assert len(self.scored) >= 5
                assert sum(wide for _, wide in self.scored[-5:]) >= 3
                assert 60 * 4 * FS_HZ / (self.scored[-1][0] - self.scored[-5][0]) > 100
            case "anomaly_run":
                assert len(run) >= 3
            case "anomaly_burden":
                last = self.odd_minute[-1]
                assert sum(r > last - 60 * FS_HZ for r in self.odd_minute) > 10
            case "anomalous_beat":
                assert run
            case "extreme_tachycardia" | "tachycardia" | "extreme_bradycardia" | "bradycardia":
                value, limit = alarm.evidence.value, alarm.evidence.limit
                assert value is not None
                assert limit is not None
                assert value >= limit if "tachy" in alarm.kind else value <= limit, "rounded"

    def up(self) -> dict[str, Alarm]:
        return {alarm.kind: alarm for alarm in self.alarms.values() if alarm.state in ("onset", "acknowledged")}

    def must_be_up(self, kind: str) -> None:
        """An alarm of this kind, or a higher one of the same cause, is up."""
        assert self.up().keys() & {kind, *(higher for higher, lower in SAME_CAUSE.items() if kind in lower)}, kind

    # -- events --------------------------------------------------------------------------------------------

    def beat(self, r: int, odd: bool = False, quality: Quality = Quality.GOOD, qrs: QrsShape = "usual") -> None:
        scored = quality is Quality.GOOD
        self.scored = [*self.scored[-9:], (r, qrs == "wide")] if scored else []
        if odd and scored:
            self.odd = [*self.odd[-9:], (r, qrs == "wide")]
            self.odd_minute = [*self.odd_minute[-50:], r]
        else:
            self.odd = []
        counted = quality in (Quality.GOOD, Quality.GAP, Quality.TRUNCATED)
        self.absorb(self.bed.beat(r, odd, quality, qrs), scorable=counted)
        if len(self.odd) >= 3 and all(wide for _, wide in self.odd[-3:]):
            self.must_be_up("anomaly_run")
        elif self.odd:
            self.must_be_up("anomalous_beat")

    def tick(
        self, quality: Quality = Quality.GOOD, r_samples: tuple[int, ...] = (), fibrillatory: bool | None = None
    ) -> None:
        self.good = quality in (Quality.GOOD, Quality.GAP, Quality.FLAT)
        end = self.bed.now + round(FS_HZ)
        if self.good:
            self.away = 0
        elif quality is Quality.LEADS_OFF:
            self.lose(self.bed.now, end, restarts=True)
        elif quality is Quality.SETTLING or "asystole" in self.up():
            self.losses.append((self.bed.now, end))
        else:
            self.since_qrs = end
        first = max(0, end - round(4 * FS_HZ))  # of the window
        if not fibrillatory or first < self.interrupted:
            self.fibrillating_since = None
        elif self.fibrillating_since is None:
            self.fibrillating_since = first
        was_up = self.up().keys()
        changes = self.bed.tick(quality, r_samples, fibrillatory)
        self.final = max(0, self.bed.now - round(0.6 * FS_HZ))
        marks = [self.since_qrs, *(r for r in sorted(r_samples) if r > self.since_qrs)]
        ended = max((self.watched(early, late) for early, late in pairwise(marks)), default=0)
        self.may_end = self.away > 1.5 * FS_HZ
        for early, late in pairwise(marks):
            self.back = self.back + 1 if late - early < 4 * FS_HZ else 0
            self.may_end |= self.back >= 2
        self.longest_silence = max(ended, self.watched(marks[-1], end))
        self.since_qrs = marks[-1]
        self.absorb(changes, scorable=self.good)
        if self.good and ended >= 4 * FS_HZ:
            changed = {alarm.kind for alarm in changes}
            assert (changed | was_up) & {"asystole", "ventricular_fibrillation"}, "silence that ended between ticks"
        lasts = self.good and self.watched(self.since_qrs, self.bed.now - round(0.6 * FS_HZ)) >= 4 * FS_HZ
        if lasts and "ventricular_fibrillation" not in was_up:  # which covers it in the second in which it ends
            self.must_be_up("asystole")
        if (
            quality is Quality.GOOD
            and self.fibrillating_since is not None
            and end - self.fibrillating_since >= 4 * FS_HZ
            and (self.bed.last_r is None or self.bed.last_r < self.fibrillating_since)  # beats may go on within it
        ):
            assert self.up().keys() & {"ventricular_fibrillation", "ventricular_run"}

    def watched(self, first: int, end: int) -> int:
        """Samples from `first` up to `end` that were watched."""
        watched, at = 0, first
        for early, late in sorted(self.losses):
            watched += max(0, min(early, end) - at)
            at = max(at, late)
        return watched + max(0, end - at)

    def lose(self, first: int, end: int, *, restarts: bool) -> None:
        """The signal is away."""
        self.away += end - first
        self.losses = [*self.losses[-400:], (min(first, self.final) if restarts else first, end)]
        if self.away > 1.5 * FS_HZ:
            self.unknown = max(self.unknown, end)
            self.since_qrs = max(self.since_qrs, end)
            self.may_end = True

    def interrupt(self, sample: int) -> None:
        """The rules of beats and waves start again."""
        self.interrupted = max(self.interrupted, sample)
        self.odd, self.scored, self.odd_minute, self.fibrillating_since = [], [], [], None

    @rule(
        quality=st.sampled_from([Quality.GOOD, *Quality]),
        seconds=st.integers(1, 8),
        beats=st.lists(st.tuples(st.integers(0, 249), st.booleans()), max_size=4),
        fibrillatory=st.sampled_from([None, None, False, True]),
    )
    def time_passes(
        self, quality: Quality, seconds: int, beats: list[tuple[int, bool]], fibrillatory: bool | None
    ) -> None:
        for _ in range(seconds):
            here = sorted({self.bed.now + offset for offset, _ in beats})
            here = [r for r in here if self.bed.last_r is None or r > self.bed.last_r]
            odd = dict(beats)
            if quality not in (Quality.LEADS_OFF, Quality.FLAT):
                for r in here:
                    self.beat(r, odd.get(r - self.bed.now, False), quality)
            self.tick(quality, tuple(here) if quality is Quality.GOOD else (), fibrillatory)

    @rule(
        beats=st.integers(1, 60),
        rr=st.sampled_from([75, 100, 115, 130, 200, 350, 450]),
        odd=st.booleans(),
        qrs=st.sampled_from(["usual", "wide"]),
    )
    def regular_rhythm(self, beats: int, rr: int, odd: bool, qrs: QrsShape) -> None:
        """A regular rhythm, slow or fast, of usual or anomalous beats."""
        first = self.bed.now if self.bed.last_r is None else max(self.bed.now, self.bed.last_r + rr)
        todo = deque(range(first, first + beats * rr, rr))
        while todo:
            here = []
            while todo and todo[0] < self.bed.now + round(FS_HZ):
                here.append(todo.popleft())
                self.beat(here[-1], odd, qrs=qrs)
            self.tick(r_samples=tuple(here))

    @rule(times=st.integers(1, 30), odd=st.integers(1, 4), spacing_s=st.sampled_from([5, 12, 25]))
    def repeated_anomalous_beats(self, times: int, odd: int, spacing_s: int) -> None:
        """Single anomalous beats, or short runs, between usual ones."""
        for _ in range(times):
            for second in range(spacing_s):
                r_samples = tuple(r for r in (self.bed.now + 60, self.bed.now + 185) if r > (self.bed.last_r or 0))
                for k, r in enumerate(r_samples):
                    self.beat(r, 2 * second + k < odd)
                self.tick(r_samples=r_samples)

    @rule(times=st.integers(1, 30), bad_s=st.integers(1, 4), good_s=st.integers(1, 9))
    def intermittent_noise(self, times: int, bad_s: int, good_s: int) -> None:
        """Intermittent noise."""
        for _ in range(times):
            for second in range(bad_s + good_s):
                r = self.bed.now + 125
                self.beat(r, quality=Quality.MUSCLE if second < bad_s else Quality.GOOD)
                self.tick(Quality.MUSCLE if second < bad_s else Quality.GOOD, () if second < bad_s else (r,))

    @rule(seconds=st.integers(1, 9))
    def silence(self, seconds: int) -> None:
        for _ in range(seconds):
            self.tick()

    @rule(lost=st.one_of(st.integers(1, 20_000), st.integers(1, 2 * HOUR)))
    def gap(self, lost: int) -> None:
        seconds = lost // 250 + 1
        first = self.bed.now
        self.bed.second += seconds
        self.interrupt(self.bed.now)
        self.lose(first, self.bed.now, restarts=True)
        self.absorb(self.bed.engine.handle(Gap(first, round(seconds * FS_HZ))), scorable=False)
        self.bed.last_r = None

    @rule(lost=st.integers(1, 40), times=st.integers(1, 25))
    def lost_packets(self, lost: int, times: int) -> None:
        """One lost packet a second."""
        for _ in range(times):
            effect = "bridged" if lost <= 3 else "hole"
            if effect == "hole":
                self.interrupt(self.bed.now + 20 + lost)
            gap = Gap(self.bed.now + 20, lost, effect)
            self.lose(gap.first_sample, gap.first_sample + lost, restarts=False)
            self.absorb(self.bed.engine.handle(gap), scorable=False)
            self.tick()

    @rule(
        kind=st.sampled_from(["no_data", "source_lost", "sampling_rate"]), holds=st.booleans(), ago=st.integers(0, 500)
    )
    def source(self, kind: str, holds: bool, ago: int) -> None:
        """The pipeline reports a condition, maybe with a sample that the engine has passed."""
        sample = max(0, self.bed.now - ago)
        if kind != "sampling_rate":
            if holds and kind not in self.silent:
                self.interrupt(sample)
                self.unknown = max(self.unknown, sample)
                self.since_qrs = max(self.since_qrs, sample)
                self.may_end = True
                self.bed.last_r = None
            (self.silent.add if holds else self.silent.discard)(kind)
        self.absorb(self.bed.engine.source_state(kind, holds, sample, "x"), scorable=False)
        for expected in self.silent | ({kind} if holds else set()):
            self.must_be_up(expected)

    @rule(late_s=st.sampled_from([0.0, 2.0, 5.0, 20.0]))
    def late(self, late_s: float) -> None:
        self.absorb(self.bed.engine.behind(late_s, self.bed.now), scorable=False)
        if late_s >= 5:
            self.must_be_up("overload")

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        active = self.bed.engine.active
        if active:
            alarm = data.draw(st.sampled_from(active))
            changes = self.bed.engine.acknowledge(alarm.alarm_id, "nurse 3")
            expected = {"onset": ["acknowledged"], "latched": ["cleared"], "acknowledged": []}[alarm.state]
            assert [change.state for change in changes] == expected
            assert all(change.acknowledged_by == "nurse 3" for change in changes)
            self.absorb(changes, scorable=True)

    @rule(seconds=st.floats(0, 1000))
    def pause(self, seconds: float) -> None:
        ringing = [a for a in self.bed.engine.active if a.state != "acknowledged"]
        if seconds and any(a.kind in ("no_data", "source_lost") for a in self.bed.engine.active):
            with pytest.raises(ValueError, match="no samples"):
                self.bed.engine.pause_audio(seconds, self.bed.now)
            return
        granted = self.bed.engine.pause_audio(seconds, self.bed.now)
        assert granted == min(seconds, 120.0)
        self.paused_until = self.bed.now + round(granted * FS_HZ)
        self.paused_rank = max((PRIORITY_RANK[a.priority] for a in ringing), default=-1)

    # -- invariants -------------- --------------------------------------------------------------------------

    @invariant()
    def one_alarm_a_cause(self) -> None:
        active = self.bed.engine.active
        published = [alarm for alarm in self.alarms.values() if alarm.state != "cleared"]
        assert sorted(active, key=str) == sorted(published, key=str), "active alarms equal the published ones"
        assert len({alarm.kind for alarm in active}) == len(active)
        ranks = [-PRIORITY_RANK[alarm.priority] for alarm in active]
        assert ranks == sorted(ranks)
        assert all(len(alarm.evidence.r_samples) <= 20 for alarm in active)
        up = self.up()
        for higher in up:
            for lower in SAME_CAUSE.get(higher, set()) & up.keys():
                assert len(self.low_onsets[lower]) == 20, f"{higher} and {lower} are one cause"

    @invariant()
    def the_audio_pause_follows_its_rules(self) -> None:
        left_s = max(0.0, (self.paused_until - self.bed.now) / FS_HZ)
        assert self.bed.engine.audio_paused_s(self.bed.now) == pytest.approx(left_s)
        assert left_s <= 120

    def teardown(self) -> None:
        """After an hour, 90 s of good signal and acknowledgements, no alarm is left."""
        for kind in ("no_data", "source_lost", "sampling_rate"):
            self.absorb(self.bed.engine.source_state(kind, False, self.bed.now, ""), scorable=False)
        self.absorb(self.bed.engine.behind(0.0, self.bed.now), scorable=False)
        self.gap(HOUR)
        for _ in range(90):
            r_samples = (self.bed.now + 60, self.bed.now + 185)
            for r in r_samples:
                self.beat(r)
            self.tick(r_samples=r_samples, fibrillatory=False)
        assert not self.up(), "an alarm without a cause"
        for alarm in self.bed.engine.active:
            self.absorb(self.bed.engine.acknowledge(alarm.alarm_id, "nurse 3"), scorable=True)
        assert self.bed.engine.active == ()
        self.one_alarm_a_cause()


@pytest.mark.parametrize("examples", [15, pytest.param(80, marks=pytest.mark.slow)])
def test_the_rules_hold_under_arbitrary_events(examples: int) -> None:
    run_state_machine_as_test(
        AlarmRules,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking takes minutes
        ),
    )
