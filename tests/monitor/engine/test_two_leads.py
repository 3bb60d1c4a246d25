"""A bed with two leads: the better one is watched, and nothing of either is lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb
from numpy.typing import NDArray

from detector import Scorer
from monitor.archive.stored import signal_of, stored_record
from monitor.messages import Request
from tests.monitor.engine.helpers import FS_HZ, FedSource, Run, ecg, settings
from tests.monitor.engine.test_bed import Ward

Samples = NDArray[np.float64]


class TwoLeads(FedSource):
    """A source of two leads that the test feeds."""

    lead = "II,V1"
    leads: tuple[str, ...] = ("II", "V1")
    second_rails_mv = None


def both(scenario: str) -> tuple[Samples, Samples]:
    """Two leads of one patient: the QRS of the second one is smaller, inverted, and has its own noise."""
    first = ecg(scenario)
    return first, -0.7 * first + np.random.default_rng(9).normal(0, 0.01, first.size)


def played(scorer: Scorer, first: Samples, second: Samples | None) -> Ward:
    ward = Ward(scorer, TwoLeads(live=False) if second is not None else None)
    ward.source.feed(first, second=second)
    while ward.bed.now < first.size:
        ward.take(round(FS_HZ))
    return ward


def kinds(ward: Ward) -> set[str]:
    return {message.alarm.kind for message in ward.alarms}


def test_a_lead_that_comes_off_raises_no_alarm_while_the_other_one_is_good(scorer: Scorer) -> None:
    first, second = both("sinus=90")
    first[round(30 * FS_HZ) : round(60 * FS_HZ)] = np.nan
    alone, ward = played(scorer, first, None), played(scorer, first, second)
    assert "leads_off" in kinds(alone)
    assert not kinds(ward)
    assert ward.bed.counts["unscored_beats"] <= 2 < alone.bed.counts["beats"]
    assert [notice.text for notice in ward.notices] == ["lead V1 is used; II: leads off", "lead II is used again"]
    assert max(float(b.rr_s or 0) for b in ward.beats) < 1.5
    assert len(ward.beats) > len(alone.beats) + 20


def test_the_status_and_the_waves_are_those_of_the_lead_that_is_used(scorer: Scorer) -> None:
    first, second = both("sinus=60")
    first[round(40 * FS_HZ) :] = np.nan
    ward = played(scorer, first, second)
    assert ward.bed.status().lead == "V1"
    strip = ward.bed.answer(Request(op="strip", n=500, first_sample=14_000), ward)
    assert strip.ok
    raw = np.array(strip.data["raw_mv"])
    np.testing.assert_allclose(raw, second[14_000:14_500], atol=1e-3)


@pytest.mark.parametrize("scenario", ["sinus=40,standstill=20", "sinus=40,vf=20", "sinus=40,vt@190=20"])
def test_a_dying_heart_is_reported_with_two_leads_as_with_one(scorer: Scorer, scenario: str) -> None:
    first, second = both(scenario)
    one, two = played(scorer, first, None), played(scorer, first, second)
    high = [{m.alarm.kind: m.sample for m in ward.alarms if m.alarm.priority == "high"} for ward in (one, two)]
    assert high[1]
    assert min(high[1].values()) <= min(high[0].values()) + FS_HZ


@pytest.mark.parametrize("scenario", ["sinus=40,standstill=20", "sinus=40,vf=20"])
def test_a_dying_heart_is_reported_when_the_first_lead_comes_off_with_it(scorer: Scorer, scenario: str) -> None:
    first, second = both(scenario)
    first[round(38 * FS_HZ) :] = np.nan
    ward = played(scorer, first, second)
    assert {m.alarm.kind for m in ward.alarms if m.alarm.priority == "high"}


def test_both_leads_off_is_reported_as_with_one(scorer: Scorer) -> None:
    first, second = both("sinus=60")
    first[round(20 * FS_HZ) :] = second[round(20 * FS_HZ) :] = np.nan
    assert "leads_off" in kinds(played(scorer, first, second))


def test_a_recording_holds_both_leads(scorer: Scorer, tmp_path: Path) -> None:
    first, second = both("sinus=20")
    second[100:150] = np.nan
    source = TwoLeads(live=False)
    source.feed(first, second=second)
    source.end()
    Run({"p1": source}, scorer, settings(record={"folder": str(tmp_path / "out")})).pipeline.run()
    record = wfdb.rdrecord(str(tmp_path / "out" / "p1" / "signal"))
    assert record.sig_name == ["II", "V1"]
    np.testing.assert_allclose(record.p_signal[:, 0], first, atol=6e-4)
    np.testing.assert_allclose(record.p_signal[:, 1], second, atol=6e-4)


def test_a_report_draws_the_first_of_two_recorded_leads(scorer: Scorer, tmp_path: Path) -> None:
    first, second = both("sinus=20")
    source = TwoLeads(live=False)
    source.leads, source.lead = ("V1", "MLII"), "V1,MLII"  # read alone, a record gives MLII
    source.feed(first, second=second)
    source.end()
    Run({"p1": source}, scorer, settings(record={"folder": str(tmp_path / "out")})).pipeline.run()
    stored = stored_record(tmp_path / "out")
    assert (stored.lead, stored.drawn_lead) == ("V1,MLII", "V1 (of V1,MLII)")
    drawn = np.concatenate([samples for _, samples in signal_of(stored)])
    np.testing.assert_allclose(drawn, first, atol=6e-4)


def test_beds_of_one_and_two_leads_give_together_what_each_gives_alone(scorer: Scorer, tmp_path: Path) -> None:
    first, second = both("sinus=30,pvc=10")
    second[2_000:4_000] = np.nan

    def recorded(*names: str) -> dict[str, str]:
        """The beats of each bed; only `two` has two leads."""
        sources = {name: TwoLeads(name, live=False) if name == "two" else FedSource(name, live=False) for name in names}
        for name, source in sources.items():
            source.feed(first, second=second if name == "two" else None)
            source.end()
        folder = tmp_path / "-".join(names)
        Run(dict(sources), scorer, settings(record={"folder": str(folder)})).pipeline.run()
        return {name: (folder / name / "beats.csv").read_text() for name in names}

    together = recorded("one", "two", "last")
    assert together["two"] == recorded("two")["two"]
    assert together["one"] == together["last"] == recorded("one")["one"]
    assert together["two"] != together["one"]
    assert together["two"].count("\n") > 30
