"""Protocol `nstdb`: which minutes are noisy, the counts there, and the pictures of failures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from tests.train.evaluate.decided import judged
from tests.train.evaluate.test_evaluate import energy_calibration, energy_subject
from tests.train.fit.helpers import needs_nstdb
from train.data.records import read_record
from train.evaluate.decision_rates import gross
from train.evaluate.failures import FailedBeat, draw_failures, worst_records
from train.evaluate.noise_protocol import evaluate_noise, minutes, noise_rates, record_name
from train.evaluate.record_decisions import count
from train.figures import noise_curves


def test_noise_starts_after_five_minutes_and_alternates_every_two() -> None:
    parts = minutes(650_000, 360.0)
    assert parts["noisy"][:2] == [(108_000, 151_200), (194_400, 237_600)]
    assert parts["clean"][0] == (151_200, 194_400)
    both = sorted(parts["noisy"] + parts["clean"])
    assert [begin for begin, _ in both[1:]] == [end for _, end in both[:-1]]
    assert (both[0][0], both[-1][1]) == (108_000, 650_000)


def test_rates_in_noise_by_hand() -> None:
    counts = count(judged())  # 300 annotated, 299 found, one false; one S unscored, one V missed
    assert noise_rates(counts) == pytest.approx(
        {
            "r_se": 299 / 300,
            "r_ppv": 299 / 300,
            "unscorable": 1 / 299,
            "fpr_scored": 1 / 296,
            "abnormal_se": 2 / 4,
            "abnormal_se_scored": 2 / 2,
        }
    )


def test_stretches_add_up_to_the_whole() -> None:
    record = judged()
    parts = {k: count(replace(record, first_sample=k, end_sample=k + 6000)) for k in range(30_000, 60_000, 6000)}
    whole, added = count(record), gross(parts, 0, noise_rates)
    names = ("annotated", "found", "false_detections", "unscored", "flagged", "windows", "beats_V", "flagged_N")
    assert {name: added["counts"][name] for name in names} == {name: whole[name] for name in names}


@needs_nstdb
def test_noise_is_where_the_records_have_it() -> None:
    """Records of -6 and 24 dB differ by an offset only in clean minutes, and by noise in noisy ones."""
    loud, quiet = (read_record(record_name("118", snr), "nstdb").samples_mv for snr in (-6, 24))
    parts = minutes(len(loud), 360.0)
    apart = {kind: [float(np.std((loud - quiet)[a + 720 : b - 720])) for a, b in of] for kind, of in parts.items()}
    assert max(apart["clean"]) < 0.05 * min(apart["noisy"])


@pytest.mark.slow
@needs_nstdb
def test_the_protocol_gives_noisy_and_clean_rates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lines: list[str] = []
    outcome = evaluate_noise([energy_subject(energy_calibration())], limit=1, progress=lines.append)
    names = "nstdb: record 118e24", "nstdb: record 119e24"
    assert lines == [*names, *(f"{name}, both leads" for name in names)]
    by_snr, in_two = outcome.extra["noise"]["energy"], outcome.extra["noise"]["energy, two leads"]
    for kind in ("noisy", "clean"):
        one, two = (each["24 dB"][kind]["counts"] for each in (by_snr, in_two))
        assert two["annotated"] == one["annotated"]
        assert two["unscored"] <= one["unscored"]
    assert list(by_snr) == ["24 dB", "6 dB and better"]
    assert by_snr["24 dB"] == by_snr["6 dB and better"]
    noisy, clean = by_snr["24 dB"]["noisy"], by_snr["24 dB"]["clean"]
    for part in (noisy, clean):
        low, high = part["intervals"]["r_se"]
        assert 0.99 < low <= part["rates"]["r_se"] <= high <= 1
    assert noisy["counts"]["annotated"] + clean["counts"]["annotated"] > 3000
    assert "training records" in outcome.extra["note"]
    noise_curves(by_snr, "energy", tmp_path / "noise.png")
    assert (imread(tmp_path / "noise.png")[..., :3] < 0.9).any()


def failed(record: str, kind: str, label: str) -> FailedBeat:
    wave = np.sin(np.arange(187) / 9).astype(np.float32)
    return FailedBeat(record, kind, label, 61.5, 3.0, float("nan"), wave, 0 * wave)  # type: ignore[arg-type]


@pytest.mark.slow
def test_failures_of_the_worst_records_are_drawn(tmp_path: Path) -> None:
    many = [failed(name, "missed", "V") for name in ("100", "222", "222", "213", "213", "231", "231")]
    many += [failed("105", "false", "N")] * 6
    assert worst_records(many, "missed") == [("213", 2), ("222", 2), ("231", 2)]
    assert worst_records(many, "false") == [("105", 6)]
    draw_failures(many, tmp_path / "failures.png")
    draw_failures(many, tmp_path / "again.png")
    draw_failures([], tmp_path / "none.png")
    assert (tmp_path / "failures.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    picture = imread(tmp_path / "failures.png")[..., :3]
    orange = np.abs(picture - np.array([0xD5, 0x5E, 0x00]) / 255).max(axis=-1) < 0.1
    assert orange.sum() > 200  # ventricular beats have their colour
    assert (tmp_path / "failures.png").stat().st_size < 150_000
