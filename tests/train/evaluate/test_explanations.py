"""The table of words: counted by hand on made beats, and on a real record."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detector import Scorer
from detector.explain import WORDS
from train.data.detected_beats import StreamedRecord
from train.data.records import find_data
from train.evaluate.explanations import explain_record, explanation_report, normal_limits, report_text, word_table

T_MS = (np.arange(187) - 62) * 8.0


def wave(qrs_ms: float = 90.0, height_mv: float = 1.0) -> NDArray[np.float32]:
    qrs = np.where(np.abs(T_MS) < qrs_ms / 2, np.cos(np.pi * T_MS / qrs_ms) ** 2, 0.0)
    return (height_mv * qrs + 0.15 * np.exp(-0.5 * ((T_MS + 168) / 20) ** 2)).astype(np.float32)


def streamed(name: str, beats: list[tuple[str, NDArray[np.float32], float]]) -> StreamedRecord:
    """A record of (class, samples, RR ratio) with a usual RR of 0.8 s; the first eight beats have no template."""
    n = len(beats)
    ratios = np.array([ratio for _, _, ratio in beats])
    r_samples = np.cumsum(np.round(0.8 * 360 * ratios)).astype(np.int64)
    known = np.arange(n) >= 8
    values = np.tile([0.8, 0.8, 0.8, 0.8, 0.8, 0.0, 1.0, 0.1], (n, 1))  # `detector.CONTEXT_FIELDS`
    values[:, 0] *= ratios
    return StreamedRecord(
        name=name,
        database="mitdb",
        lead="MLII",
        fs_hz=360.0,
        samples=int(r_samples[-1]) + 1000,
        r_samples=r_samples,
        beats=np.array([samples for _, samples, _ in beats]),
        rr_s=0.8 * ratios,
        verdicts=np.full(n, "good", dtype="<U11"),
        template_scores=np.where(known, 0.1, np.nan),
        templates=np.where(known[:, None, None], np.stack((wave(), wave())), np.float32(np.nan)),
        context_values=np.where(known[:, None], values, np.nan).astype(np.float32),
        previous=np.array([wave()] * n),
        residuals=np.where(known, 0.1, np.nan),
        rr_ratios=np.where(known[:, None], np.stack((ratios, ratios), axis=1), np.nan),
        annotated=r_samples,
        annotated_labels=np.array([label for label, _, _ in beats], dtype="<U1"),
        matched=np.arange(n, dtype=np.int64),
    )


USUAL = ("N", wave(), 1.0)
RECORD = streamed(
    "made",
    [USUAL] * 20 + [("V", wave(200.0), 0.6), ("N", wave(), 1.35), USUAL, ("V", wave(200.0), 1.0), ("S", wave(), 0.7)],
)


def test_shares_by_hand() -> None:
    explained = explain_record(RECORD)
    assert len(explained.rows) == len(RECORD.beats) - 8  # no words without a template
    table = word_table([explained])
    assert table.beats == {"N": 14, "S": 1, "V": 2}
    assert (table.shares["V"]["wide"], table.shares["V"]["early"], table.shares["V"]["then a pause"]) == (1.0, 0.5, 0.5)
    assert (table.shares["S"]["early"], table.shares["S"]["wide"]) == (1.0, 0.0)
    assert table.shares["N"]["unlikely shape"] == 1.0
    assert table.common["V"] == [("wide", 0.5), ("wide, early, then a pause", 0.5)]


def test_only_flagged_beats_count_where_flags_are_given() -> None:
    flagged = np.zeros(len(RECORD.beats), np.bool_)
    flagged[20] = True
    table = word_table([explain_record(RECORD)], {"made": flagged})
    assert table.beats == {"V": 1}
    assert set(table.shares["V"]) == set(WORDS)
    assert table.shares["V"]["early"] == 1.0


def test_unscorable_and_unmatched_beats_are_left_out() -> None:
    RECORD.verdicts[20], RECORD.matched[23] = "motion", -1
    try:
        assert word_table([explain_record(RECORD)]).beats == {"N": 14, "S": 1}
    finally:
        RECORD.verdicts[20], RECORD.matched[23] = "good", 23


def test_limits_are_the_median_over_patients_of_normal_beats_quantiles() -> None:
    patients = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        ratios = np.exp(rng.normal(0, 0.02 * (1 + seed), 400))
        beats = [("N", wave(), float(ratio)) for ratio in ratios] + [("V", wave(200.0), 0.1)] * 50
        patients.append(explain_record(streamed(f"p{seed}", beats)))
    limits = normal_limits(patients)
    assert limits["early"] == pytest.approx(np.exp(-2.326 * 0.06), abs=0.02)  # the middle patient, no V beat
    assert limits["late"] == pytest.approx(np.exp(2.326 * 0.06), abs=0.02)
    assert limits["wider_ms"] == pytest.approx(0.0, abs=1e-6)


def test_a_record_without_template_has_no_words() -> None:
    empty = streamed("empty", [USUAL] * 8)
    explained = explain_record(empty)
    assert explained.words == ()
    assert word_table([explained]).beats == {}
    assert normal_limits([explained]) == {}


@pytest.mark.slow
@pytest.mark.skipif(find_data("mitdb") is None, reason="mitdb is not there: set ECG_MONITOR_DATA")
def test_a_real_record_from_the_detector_to_the_text() -> None:
    """Record 119: one kind of wide ventricular beat, early, each with a compensatory pause."""
    report = explanation_report(Scorer(), {"119": ["119"]})
    shares = report["sets"]["119"]["all"]["shares"]
    assert shares["V"]["early"] > 0.95
    assert shares["V"]["wide"] > 0.9
    assert shares["V"]["then a pause"] > 0.9
    assert shares["N"]["wide"] < 0.05
    assert sum(report["sets"]["119"]["anomalous"]["beats"].values()) < sum(
        report["sets"]["119"]["all"]["beats"].values()
    )
    text = report_text(report)
    assert "| wide |" in text
    assert "119, beats called anomalous" in text
    assert "| early | 0.87 |" in text
