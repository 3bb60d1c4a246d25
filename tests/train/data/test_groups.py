"""Groups of training patients: disjoint, without a test patient, and what their rows carry."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.train.data.made_database import LEADS, write_database
from train.data.groups import GROUPS, check_groups, check_leads, group_beats, group_records
from train.data.records import DS2, NormalBeats, class_counts, record_names
from train.errors import DataError


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two groups of two patients of a made-up database; its folder."""
    monkeypatch.setenv("ECG_MONITOR_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(GROUPS, "sele", ("qtdb", ("a1", "a2")))
    monkeypatch.setitem(GROUPS, "qtother", ("qtdb", ("b1", "b2")))
    write_database(tmp_path / "qtdb", ("a1", "a2", "b1", "b2"), seconds=30)
    return tmp_path / "qtdb"


def test_groups_share_no_patient_and_hold_no_test_patient() -> None:
    names = [name for _, records in GROUPS.values() for name in records]
    assert [len(records) for _, records in GROUPS.values()] == [22, 33, 10]
    assert len(set(names)) == len(names) == 65
    # qtdb holds records of mitdb as `sel100`: none of them, so no patient of DS2 and none of DS1 twice.
    assert not {f"sel{record}" for record in record_names("mitdb")} & set(names)
    assert not set(DS2) & set(names)


def test_the_named_records_are_in_qtdb() -> None:
    assert {*GROUPS["sele"][1], *GROUPS["qtother"][1]} <= set(record_names("qtdb"))


@pytest.mark.usefixtures("made")
def test_rows_carry_patient_database_and_lead() -> None:
    one, both = group_beats(["sele"], "first"), group_beats(["qtother", "sele"], "both")
    assert set(zip(one.records.tolist(), one.databases.tolist(), one.leads.tolist(), strict=True)) == {
        ("a1", "qtdb", LEADS[0]),
        ("a2", "qtdb", LEADS[0]),
    }
    normals = NormalBeats(both)
    assert np.unique(normals.signals).tolist() == [
        f"{name} {lead}" for name in ("a1", "a2", "b1", "b2") for lead in LEADS
    ]
    assert set(normals.databases.tolist()) == {"qtdb"}
    assert len(normals) == class_counts(both.labels)["N"] < len(both)
    # The second lead is another signal: the same beats are 0.7 mV high instead of 1.0 mV.
    height = {
        lead: float(np.median(np.ptp(normals.rows(normals.signals == f"a1 {lead}").beats, axis=1))) for lead in LEADS
    }
    assert height[LEADS[1]] == pytest.approx(0.7 * height[LEADS[0]], rel=0.05)


@pytest.mark.usefixtures("made")
def test_holding_out_keeps_all_leads_of_a_patient_together() -> None:
    fitted, watched = NormalBeats(group_beats(["sele", "qtother"], "both")).hold_out(0.25, 0, by_record=True)
    assert not set(fitted.records.tolist()) & set(watched.records.tolist())
    assert set(watched.leads.tolist()) == set(LEADS)


@pytest.mark.usefixtures("made")
def test_records_come_with_their_verdicts() -> None:
    records = list(group_records("sele", "both", limit=1))
    assert [(record.name, record.lead) for record in records] == [("a1", LEADS[0]), ("a1", LEADS[1])]
    for record in records:
        assert record.scorable.sum() > 20
        np.testing.assert_array_equal(record.scorable, record.verdicts == "good")
        assert record.verdicts[-1] in ("good", "truncated")


@pytest.mark.usefixtures("made")
def test_a_draw_gives_each_lead_of_a_patient_the_same_weight() -> None:
    beats = group_beats(["sele"], "both")
    few = beats.rows(np.flatnonzero((beats.leads == LEADS[0]) | (np.arange(len(beats)) % 4 == 0)))
    normals = NormalBeats(few)
    rng = np.random.default_rng(0)
    drawn = [normals.draw(20, rng) for _ in range(200)]
    assert all(len(set(rows.tolist())) == 20 for rows in drawn)
    share = np.mean(normals.leads[np.concatenate(drawn)] == LEADS[0])
    assert np.mean(normals.leads == LEADS[0]) > 0.75
    assert 0.45 < share < 0.65
    np.testing.assert_array_equal(normals.draw(0, rng), np.arange(len(normals)))
    np.testing.assert_array_equal(normals.draw(10**6, rng), np.arange(len(normals)))


def test_a_record_with_one_lead_has_no_second(made: Path) -> None:
    header = (made / "a1.hea").read_text().splitlines()
    (made / "a1.hea").write_text("\n".join([header[0].replace(" 2 ", " 1 ", 1), header[1]]) + "\n")
    with pytest.raises(DataError, match="only the lead CM5; take its first lead"):
        list(group_records("sele", "both", limit=1))


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    assert check_groups(["sele", "ds1", "sele"]) == ("ds1", "sele")
    with pytest.raises(DataError, match="group 'ds2': unknown; give ds1, sele, qtother"):
        check_groups(["ds2"])
    with pytest.raises(DataError, match="no group of patients"):
        check_groups([])
    with pytest.raises(DataError, match="leads 'third': unknown; give first or both"):
        check_leads("third")
