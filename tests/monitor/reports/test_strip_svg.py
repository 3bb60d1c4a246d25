"""The strip on ECG paper: true millimetres, open gaps, marks at their beats."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from monitor.messages import Alarm, Evidence
from monitor.reports.marked_beats import MarkedBeat, marked_beats
from monitor.reports.strip_svg import MM_PER_S, StripPicture, draw_strip
from tests.monitor.bus.helpers import alarm, beat

SVG = "{http://www.w3.org/2000/svg}"
FS_HZ = 250.0
N = 2500
FIRST = 10_000
ONSET = FIRST + N // 2


def picture(samples: np.ndarray, beats: list[MarkedBeat] | None = None, **changes: object) -> StripPicture:
    body = msgspec.structs.replace(alarm(ONSET).alarm, decided_sample=ONSET + 500)
    values = {
        "first_sample": FIRST, "fs_hz": FS_HZ, "samples": np.asarray(samples, np.float32), "alarm": body,
        "beats": beats or [], "time": "2026-01-31 08:00:00", "lead": "MLII", "source": "sim",
        "filtered": "0.5 to 40 Hz",
    }  # fmt: skip
    return StripPicture(**{**values, **changes})  # type: ignore[arg-type]


def drawn(p: StripPicture) -> ET.Element:
    return ET.fromstring(draw_strip(p))


def by_id(root: ET.Element, name: str) -> str:
    (found,) = [element for element in root.iter() if element.get("id") == name]
    return found.attrib["d"]


def points(root: ET.Element) -> list[np.ndarray]:
    """Sub-paths of the trace, (n, 2) mm."""
    return [
        np.array(re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", piece.removesuffix("h0")), float).reshape(-1, 2)
        for piece in by_id(root, "trace").split("M")[1:]
    ]


def test_pacing_pulses_are_lines_at_their_samples() -> None:
    root = drawn(picture(np.zeros(N), pulses=(FIRST, FIRST + 250, FIRST + N + 5000)))
    at = [float(e.attrib["d"][1:].split()[0]) for e in root.iter(f"{SVG}path") if e.get("class") == "pacer"]
    assert np.diff(at) == pytest.approx([MM_PER_S])
    assert "pacing pulse" in draw_strip(picture(np.zeros(N), pulses=(FIRST,)))
    assert "pacing pulse" not in draw_strip(picture(np.zeros(N)))


def marks(root: ET.Element, kind: str) -> list[float]:
    """x of the marks above the paper, mm."""
    if kind == "odd":
        return [float(re.match(r"M([\d.]+)", e.attrib["d"])[1]) for e in root.iter(f"{SVG}path") if e.get("data-r")]  # type: ignore[index]
    return [float(e.attrib["cx"]) for e in root.iter(f"{SVG}circle") if e.get("class") == kind and e.get("r") == ".7"]


def test_a_second_is_25_mm_and_a_millivolt_10():
    step = np.zeros(N)
    step[1000:1250] = 1.0
    root = drawn(picture(step))
    assert root.attrib["width"].endswith("mm")
    width, height = (float(root.attrib[side].removesuffix("mm")) for side in ("width", "height"))
    assert root.attrib["viewBox"] == f"0 0 {width:g} {height:g}", "one unit is one millimetre"
    assert width < 297, "fits A4"
    assert height < 210
    (trace,) = points(root)
    assert len(trace) == N
    np.testing.assert_allclose(trace[250:, 0] - trace[:-250, 0], 25.0, atol=2e-3)
    np.testing.assert_allclose(trace[500, 1] - trace[1100, 1], 10.0, atol=1e-3)


def test_the_grid_is_of_1_and_5_mm_and_the_pulse_of_1_mv_for_200_ms():
    root = drawn(picture(np.zeros(N)))
    lines = {
        name: np.array(re.findall(r"M([\d.]+) [\d.]+v", by_id(root, name)), float) for name in ("grid-1mm", "grid-5mm")
    }
    both = np.sort(np.concatenate(list(lines.values())))
    np.testing.assert_allclose(np.diff(both), 1.0)
    np.testing.assert_allclose(np.diff(np.sort(lines["grid-5mm"])), 5.0)
    assert "v-10h5v10" in by_id(root, "calibration")
    (trace,) = points(root)
    assert np.isclose(lines["grid-5mm"], trace[0, 0]).any(), "seconds lie on thick lines"
    rows = np.array(re.findall(r"M[\d.]+ ([\d.]+)h", by_id(root, "grid-5mm")), float)
    assert np.isclose(rows, trace[0, 1]).any(), "and so does the baseline"


@given(
    samples=arrays(np.float32, st.integers(1, 400), elements=st.floats(-8, 8, width=32) | st.just(float("nan"))),
    fs_hz=st.sampled_from([100.0, 250.0, 360.0, 1000.0]),
    first=st.integers(-3000, 10**9),
)
def test_invalid_samples_are_gaps(samples, fs_hz, first):
    body = msgspec.structs.replace(alarm(5).alarm, onset_sample=first + 3, decided_sample=first + 30)
    root = drawn(picture(samples, fs_hz=fs_hz, first_sample=first, alarm=body))
    valid = np.isfinite(samples)
    if not valid.any():
        assert not [e for e in root.iter() if e.get("id") == "trace"]
        return
    pieces = points(root)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], valid.astype(int), [0]))))
    assert [len(piece) for piece in pieces] == list(edges[1::2] - edges[::2])
    at = np.concatenate(pieces)
    np.testing.assert_allclose(at[:, 0] - 27.0, np.flatnonzero(valid) / fs_hz * 25.0, atol=2e-3)
    mv = samples[valid].astype(float)
    np.testing.assert_allclose((at[0, 1] - at[:, 1]) / 10.0, mv - mv[0], atol=1e-3)


def test_the_baseline_is_the_median_and_clipped_signal_is_marked():
    samples = np.full(N, 0.7)
    samples[100:110] = 9.0
    samples[2000:2010] = -9.0
    root = drawn(picture(samples))
    (trace,) = points(root)
    pulse = float(re.match(r"M[\d.]+ ([\d.]+)h3v", by_id(root, "calibration"))[1])  # type: ignore[index]
    assert trace[0, 1] == pytest.approx(pulse)
    arrows = [e.attrib["d"] for e in root.iter(f"{SVG}path") if e.get("class") == "clip"]
    assert [float(d[1:].split()[0]) for d in arrows] == pytest.approx([27 + 10.45, 27 + 200.45], abs=0.02)
    (paper,) = root.iter(f"{SVG}clipPath")
    assert [e.get("clip-path") for e in root.iter() if e.get("id") == "trace"] == [f"url(#{paper.get('id')})"]


def test_marks_lie_at_their_beats_and_the_score_under_them():
    beats = [
        MarkedBeat(FIRST + 250, 1.0, 4.0, False, ()),
        MarkedBeat(FIRST + 500, 8.0, 4.0, True, ("wide", "early")),
        MarkedBeat(FIRST + 750, None, None, False, ()),
        MarkedBeat(FIRST - 1, 9.0, 4.0, True, ("outside",)),
        MarkedBeat(FIRST + N, 9.0, 4.0, True, ("outside",)),
    ]
    root = drawn(picture(np.zeros(N), beats))
    assert marks(root, "usual") == pytest.approx([27 + 25])
    assert marks(root, "odd") == pytest.approx([27 + 50])
    assert marks(root, "unscored") == pytest.approx([27 + 75])
    texts = [e.text for e in root.iter(f"{SVG}text")]
    assert "wide, early" in texts
    assert not any("outside" in (text or "") for text in texts)
    stems = [re.match(r"M([\d.]+) ([\d.]+)V([\d.]+)", e.attrib["d"]).groups() for e in root.iter(f"{SVG}path")  # type: ignore[union-attr]
             if (e.get("class") or "").startswith("stem")]  # fmt: skip
    (x1, zero, y1), (x2, _, y2) = [tuple(map(float, stem)) for stem in stems]
    assert (x1, x2) == pytest.approx((52, 77))
    assert (zero - y2) / (zero - y1) == pytest.approx(8.0, rel=1e-2), "scores in proportion"
    limit = re.findall(r"V([\d.]+)", by_id(root, "threshold"))
    assert (zero - float(limit[0])) / (zero - y1) == pytest.approx(4.0, rel=1e-2)
    bands = [float(e.attrib["x"]) for e in root.iter(f"{SVG}rect") if e.get("class") == "band"]
    assert bands == pytest.approx([77 - 2.5])


def test_the_header_gives_the_scales_and_text_is_escaped():
    hostile = "<script>alert('x')</script> & \x00\x1b[31m ]]>"
    body = msgspec.structs.replace(alarm(ONSET).alarm, text=hostile, bed="p&1")
    root = drawn(picture(np.zeros(N), alarm=body, lead="<II>", foot=hostile))
    texts = " | ".join(e.text or "" for e in root.iter(f"{SVG}text"))
    for fact in ("asystole", "bed p&1", "2026-01-31 08:00:00", "lead <II>", "25 mm/s", "10 mm/mV", "0.5 to 40 Hz",
                 "250 Hz", "Not a medical device"):  # fmt: skip
        assert fact in texts
    assert r"<script>alert('x')</script> & \x00\x1b[31m ]]>" in texts
    assert not list(root.iter(f"{SVG}script"))
    seconds = [e.text for e in root.iter(f"{SVG}text") if re.fullmatch(r"[+-]\d s|onset", e.text or "")]
    assert seconds == ["-5 s", "-4 s", "-3 s", "-2 s", "-1 s", "onset", "+1 s", "+2 s", "+3 s", "+4 s", "+5 s"]


def test_evidence_adds_beats_and_words_to_the_journal():
    body: Alarm = msgspec.structs.replace(
        alarm(ONSET).alarm,
        evidence=Evidence(r_samples=(100, 200), score=(7.0, 1.0), threshold=4.0, words=(("wide", "then a pause"), ())),
    )
    known = msgspec.structs.replace(beat(100), anomalous=True, words=("wide",), score=7.0)
    found = marked_beats([beat(300), known], body)
    assert [b.r_sample for b in found] == [100, 200, 300]
    assert found[0].words == ("wide", "then a pause"), "found later"
    assert [b.anomalous for b in found] == [True, False, False]
    assert found[1] == MarkedBeat(200, 1.0, 4.0, False, ())


def test_a_strip_within_a_page_has_its_own_ids_and_no_footer() -> None:
    beats = [MarkedBeat(FIRST + 500, 20.0, 4.0, True, ())]
    whole = drawn(picture(np.zeros(N), beats, foot="model m"))
    text = draw_strip(picture(np.zeros(N), beats, foot="model m"), within="s1-")
    part = ET.fromstring(text)
    assert text.startswith("<svg ")
    assert "Not a medical device" not in text
    assert "model m" not in text
    ids = [element.get("id", "") for element in part.iter() if element.get("id")]
    assert ids == [f"s1-{element.get('id')}" for element in whole.iter() if element.get("id")]
    assert "url(#s1-paper)" in text
    assert float(whole.attrib["height"][:-2]) - float(part.attrib["height"][:-2]) == 8.0


def test_a_compact_strip_is_the_same_paper_higher_up_without_scores() -> None:
    samples = np.sin(np.arange(N) / 40)
    beats = [MarkedBeat(FIRST + 400, 9.0, 5.0, True, ("wide",))]
    whole, compact = (drawn(picture(samples, beats, title="typical", compact=each)) for each in (False, True))
    (before,), (after,) = points(whole), points(compact)
    assert after[:, 0] == pytest.approx(before[:, 0])
    assert np.ptp(after[:, 1]) == pytest.approx(np.ptp(before[:, 1]))
    assert np.unique(np.round(before[:, 1] - after[:, 1], 3)).tolist() == [10.0]
    assert marks(compact, "odd") == marks(whole, "odd")
    heights = [float(root.attrib["height"].removesuffix("mm")) for root in (whole, compact)]
    assert heights[1] < heights[0] - 40
    texts = " ".join("".join(compact.itertext()).split())
    assert "anomaly score" not in texts
    assert "wide" not in texts
    assert "bed" not in texts, "the record of a report is no bed"
