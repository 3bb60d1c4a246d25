"""Screen of one bed: its words in each situation, exact frame sizes, the picture."""

import copy
import doctest
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from rich.cells import cell_len

from monitor.dashboard import bed_order, keyboard, panels, scale, tile, trend
from monitor.dashboard.braille import BLANK
from monitor.dashboard.canvas import Canvas, Ink
from monitor.dashboard.digits import big_number
from monitor.dashboard.picture import export_frame
from monitor.dashboard.render import MIN_HEIGHT, MIN_WIDTH, BedView, render
from monitor.dashboard.small import SMALL_HEIGHT, SMALL_WIDTH
from monitor.dashboard.state import DashboardState
from monitor.dashboard.trend import AXIS_CELLS, draw_trend
from monitor.dashboard.waveform import DOTS_PER_S
from monitor.messages import EventMessage, ShortTermHrv
from tests.monitor.dashboard.helpers import (
    FS_HZ,
    alarm,
    beat,
    ecg,
    heartbeat,
    lines_of,
    running_state,
    runs_of,
    screen,
    status,
    wave,
)

SIZES = [(60, 16), (80, 24), (100, 30), (110, 34), (200, 50)]


def has_braille(text):
    return any(0x2801 <= ord(char) <= 0x28FF for char in text)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_normal_bed_fits_every_size(width, height):
    state = running_state()
    lines = screen(state, width, height)
    assert [cell_len(line) for line in lines] == [width] * height
    text = "\n".join(lines)
    assert text.count("Not a medical device") == 1
    for word in ("p1", "sim", "connected", "no active alarms", "MLII", "anomalous", "1 mV", "q quit"):
        assert word in text
    assert has_braille(text)
    assert "!!!" not in "\n".join(lines[1:3])


def test_a_screen_of_usual_size_has_every_number():
    state = running_state()
    counts = {"beats": 1234, "anomalous_beats": 12, "unscored_beats": 34, "gaps": 3, "samples_lost": 567}
    counted = status(5000, dropped_waves=8, latency_p50_ms=11.2, latency_p99_ms=38.9, **counts)
    state.apply(counted, now_s=20.0)
    text = "\n".join(screen(state, 110, 34))
    for word in (
        "1,234", "12 (1.0%)", "34", "567", "11 / 39 ms", "RR 1.00 s", "signal good", "scored", "250 Hz", "×1", "19 s",
        "test-model", "0:00:20", "p 0.42", "4.5", "heart rate", "this patient's limit", "last 1.5",
    ):  # fmt: skip
        assert word in text


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 240), st.integers(1, 70), st.booleans())
def test_a_frame_has_exactly_the_given_size(width, height, help_page):
    state = running_state(6, beds=("p1", "bed two", "床三"))
    for kind, priority in (("asystole", "high"), ("pause", "medium"), ("anomalous_beat", "low")):
        state.apply(alarm(kind, priority, onset=len(kind)), now_s=6.0)
    lines = screen(state, width, height, view=BedView(help=help_page, bed="床三"))
    assert [cell_len(line) for line in lines] == [width] * height


@pytest.mark.parametrize(("width", "height"), [(19, 24), (80, 5), (14, 3), (30, 1)])
def test_a_tiny_terminal_shows_the_rate_and_the_most_urgent_alarm(width, height):
    state = running_state()
    assert "HR 60" in "".join(screen(state, width, height))
    state.apply(alarm("anomalous_beat", "low"), now_s=20.0)
    state.apply(alarm("ventricular_run", "high"), now_s=20.0)
    lines = screen(state, width, height)
    assert [cell_len(line) for line in lines] == [width] * height
    assert "!!! ventricu" in lines[0]
    assert "HR 60" in "".join(lines)
    state.apply(status(5000, state="no_data"), now_s=20.0)
    assert "NO DATA" in "".join(screen(state, width, height))


def test_without_any_bed_a_tiny_terminal_says_so():
    assert screen(DashboardState(), 12, 2, 0.0)[0].strip() == "no bed yet"


FIGURES = ShortTermHrv(sdnn_ms=45.2, rmssd_ms=31.8, pnn50=0.123, intervals=350, nn_s=280.0)


@pytest.mark.parametrize(("width", "height"), [(100, 30), (110, 34), (200, 50), (95, 30)])
def test_variability_has_the_last_row_of_the_numbers(width, height):
    text = "\n".join(screen(watched_state(hrv=FIGURES, rhythm="regular"), width, height))
    assert "SDNN 45 RMSSD 32 ms" in text
    why = "\n".join(screen(watched_state(hrv=ShortTermHrv(why="needs 60 s more")), width, height))
    assert "HRV -- needs 60 s more" in why
    assert "SDNN" not in why
    assert "HRV" not in "\n".join(screen(watched_state(), width, height)), "an older monitor"
    still = watched_state(hrv=FIGURES)
    still.apply(status(5000, state="no_data", hrv=FIGURES), now_s=20.0)
    assert "SDNN" not in "\n".join(screen(still, width, height)), "no figure of an old signal"


@pytest.mark.parametrize(("width", "height"), [*SIZES, (95, 30), (40, 12)])
def test_variability_takes_the_place_of_nothing(width, height):
    """Whatever else the screen shows stays where it was."""
    for words in ((), ("wide", "early", "then a pause")):
        plain, more = watched_state(rhythm="regular"), watched_state(rhythm="regular", hrv=FIGURES)
        for state in (plain, more):
            state.apply(alarm("ventricular_run", "high"), now_s=20.0)
            if words:
                state.apply(beat(4990, anomalous=True, words=words), now_s=20.0)
        before, after = (screen(state, width, height) for state in (plain, more))
        changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
        assert len(changed) <= 1
        for old, new in changed:
            assert "SDNN" in new
            assert all(char in (" ", new[n]) for n, char in enumerate(old))


SMALL_SIZES = [(SMALL_WIDTH, SMALL_HEIGHT), (20, 12), (40, 12), (59, 30), (MIN_WIDTH, MIN_HEIGHT - 1)]


def watched_state(**fields):
    """A running bed whose last status has these fields."""
    state = running_state()
    limits = {"rate_low_bpm": 45.0, "rate_high_bpm": 120.0}
    state.apply(status(5000, **limits | fields), now_s=20.0)
    return state


@pytest.mark.parametrize(("width", "height"), SMALL_SIZES)
def test_a_small_terminal_shows_alarm_rate_limits_and_rhythm(width, height):
    state = watched_state(rhythm="regular")
    state.apply(alarm("pause", "medium"), now_s=20.0)
    lines = screen(state, width, height)
    assert [cell_len(line) for line in lines] == [width] * height
    text = "\n".join(lines)
    for word in (" p1 ", "!! pause", "bpm", "45", "120", "regular", "Not a medical device"):
        assert word in text
    assert has_braille(text) == (height > 10)
    state.apply(status(5000, state="no_data"), now_s=20.0)
    assert "NO DATA" in "\n".join(screen(state, width, height))


UNSEEN = {
    "quality": "muscle",
    "scorable": False,
    "heart_rate_bpm": None,
    "rhythm": "not watched",
    "unwatched_s": 42.0,
}


@pytest.mark.parametrize(("width", "height"), [*SIZES, *SMALL_SIZES])
def test_a_bed_that_is_not_watched_says_so_and_is_never_without_alarms(width, height):
    text = "\n".join(screen(watched_state(**UNSEEN), width, height))
    assert "NOT WATCHED 0:42" in text
    assert "no active alarms" not in text
    short = "\n".join(screen(watched_state(**UNSEEN | {"unwatched_s": 3.0, "rhythm": ""}), width, height))
    assert "NOT WATCHED" not in short


def test_not_watched_has_the_colour_of_its_alarm():
    state = watched_state(**UNSEEN)

    def colour():
        runs = [run for run in runs_of(render(state, 100, 30, 20.0)) if "NOT WATCHED" in run.text]
        return {run.style.bgcolor.name for run in runs}

    assert colour() == {"yellow"}
    state.apply(alarm("poor_signal", "high", category="technical"), now_s=20.0)
    assert colour() == {"red"}


NO_RATE = {
    "ASYSTOLE": ("━", {}, ("asystole", "high", "physiological")),
    "V-FIB": ("∿", {}, ("ventricular_fibrillation", "high", "physiological")),
    "LEADS OFF": ("╌", {"quality": "leads_off"}, ("leads_off", "medium", "technical")),
    "NOT WATCHED": ("░", {"quality": "muscle"}, ("poor_signal", "low", "technical")),
}


@pytest.mark.parametrize(("width", "height"), [*SIZES, (40, 12), (59, 30)])
def test_what_has_no_rate_differs_in_word_and_sign(width, height):
    seen = set()
    for word, (sign, fields, (kind, priority, category)) in NO_RATE.items():
        state = watched_state(**UNSEEN | {"quality": "good", "unwatched_s": 9.0 if fields else 0.0} | fields)
        state.apply(alarm(kind, priority, category=category), now_s=20.0)
        lines = screen(state, width, height)
        found = [line for line in lines if re.search(f"{sign} ?{word} ?{sign}?", line)]
        assert len(found) == 1, word
        text = "\n".join(lines)
        assert "▀▀▀" not in text
        assert "██████" not in text
        others = {other for other in NO_RATE if other != word and other in text}
        assert not others, (word, others)
        seen.add(text)
    assert len(seen) == len(NO_RATE)


def test_times_have_names_and_a_zone():
    state = running_state()
    state.apply(status(5250, time="2026-11-30T02:05:12.250+00:00"), now_s=21.0)
    header = screen(state, 160, 30)[0]
    assert "signal 0:00:21" in header
    assert "2026-11-30 02:05:12 UTC" in header


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_limits_stand_beside_the_rate_and_the_rhythm_in_words(width, height):
    text = "\n".join(screen(watched_state(rhythm="ventricular bigeminy"), width, height))
    assert " 45-120 " in text
    assert "ventricular bigeminy" in text
    assert " 45-off " in "\n".join(screen(watched_state(rate_high_bpm=None), width, height))
    assert " off-off " in "\n".join(screen(watched_state(rate_low_bpm=None, rate_high_bpm=None), width, height))


def test_a_long_rhythm_continues_below():
    text = "\n".join(screen(watched_state(rhythm="irregular, frequent ventricular beats"), 100, 30))
    assert "irregular, frequent" in text
    assert "ventricular beats" in text
    assert "RR 1.00 s" in text


@pytest.mark.parametrize(("width", "height"), [*SIZES, *SMALL_SIZES])
def test_a_status_without_limits_shows_none(width, height):
    text = "\n".join(screen(watched_state(rate_low_bpm=UNSET, rate_high_bpm=UNSET), width, height))
    assert "off" not in text
    assert "45" not in text


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_every_size_shows_the_most_urgent_alarm_with_mark_state_and_age(width, height):
    state = running_state()
    for number in range(10):
        state.apply(alarm("anomalous_beat", "low", onset=number, sample=5000), now_s=20.0)
    state.apply(alarm("pause", "medium", onset=4000, sample=5000), now_s=20.0)
    state.apply(alarm("asystole", "high", "latched", onset=2500, sample=5000), now_s=20.0)
    lines = screen(state, width, height)
    assert "!!! HIGH" in lines[1]
    for word in ("asystole", "LATCHED", "0:10 ago"):
        assert word in lines[1]
    assert "more:" in "\n".join(lines)
    assert "no active alarms" not in "\n".join(lines)


def test_priorities_have_colours_technical_alarms_a_word_and_acknowledged_ones_a_name():
    state = running_state()
    state.apply(alarm("asystole", "high"), now_s=20.0)
    state.apply(alarm("leads_off", "medium", category="technical"), now_s=20.0)
    state.apply(alarm("anomalous_beat", "low"), now_s=20.0)

    def style_of(mark):
        return next(run.style for run in runs_of(render(state, 100, 30, 20.0)) if mark in run.text)

    assert (style_of("!!! HIGH").bgcolor.name, style_of("!!! HIGH").bold) == ("red", True)
    assert (style_of("!!  MEDIUM").bgcolor.name, style_of("!!  MEDIUM").color.name) == ("yellow", "black")
    assert style_of("!   LOW").bgcolor.name == "cyan"
    assert "TECHNICAL leads off" in "\n".join(screen(state))
    state.apply(alarm("asystole", "high", "acknowledged", acknowledged_by="jd"), now_s=20.0)
    assert style_of("!!! HIGH").bgcolor is None
    assert "ACKNOWLEDGED" in screen(state)[1]
    assert "by jd" in screen(state)[1]


WHY = "wide (QRS 148 ms, usual 72), early (RR 62 % of usual), no usual P wave (none seen), then a pause (1.4 s)"


def test_a_long_reason_continues_below_if_there_is_room():
    state = running_state()
    state.apply(alarm("anomalous_beat", "low", text=WHY, count=3), now_s=20.0)
    lines = screen(state, 110, 34)
    assert "anomalous beat" in lines[1]
    at = lines[1].index("wide")
    shown = " ".join(line[at:].strip() for line in lines[1:4])
    assert f"{WHY}  (3 times)" in shown.replace("   ", "  ")
    assert lines[2][:at].strip() == ""


def test_without_room_a_reason_loses_its_numbers_and_every_alarm_gets_a_line():
    state = running_state()
    for onset in range(4):
        state.apply(alarm("anomalous_beat", "low", text=WHY, onset=onset), now_s=20.0)
    lines = screen(state, 110, 30)
    assert all("wide, early, no usual P wave, then a pause" in line for line in lines[1:5])


def test_reasons_of_the_newest_anomalous_beat_are_shown_for_ten_seconds():
    state = running_state()
    state.apply(beat(4900, seq=90, anomalous=True, words=("wide", "early")), now_s=20.0)
    assert "▲ wide, early" in "\n".join(screen(state, 110, 34))
    state.apply(beat(5100, seq=91), now_s=20.0)
    assert "▲ wide, early" in "\n".join(screen(state, 110, 34))
    state.apply(status(4900 + round(10.5 * FS_HZ)), now_s=20.5)
    assert "▲ wide, early" not in "\n".join(screen(state, 110, 34, now_s=20.5))


def test_a_cleared_alarm_is_listed_below():
    state = running_state()
    state.apply(alarm("pause", "medium"), now_s=20.0)
    state.apply(alarm("pause", "medium", "cleared"), now_s=20.0)
    lines = screen(state)
    assert "no active alarms" in lines[1]
    assert "cleared: !!  pause" in lines[2]


def test_leads_off_is_a_labelled_gap():
    state = running_state(20)
    for second in range(20, 23):
        state.apply(*wave(second * 250, np.full(250, np.nan, np.float32), seq=second + 1), now_s=second + 1.0)
        state.apply(heartbeat(second + 1), now_s=second + 1.0)
    state.apply(status(5750, quality="leads_off", scorable=False, heart_rate_bpm=None), now_s=23.0)
    lines = screen(state, 100, 30)
    text = "\n".join(lines)
    for word in ("LEADS OFF", "signal LEADS OFF", "NOT SCORED"):
        assert word in text
    for line in lines[6:16]:
        assert not has_braille(line[46:68])  # the last 3 of 5 s are empty
    assert has_braille("".join(line[10:36] for line in lines[6:16]))


def test_lost_samples_are_a_labelled_gap_or_a_mark():
    state = running_state(20)
    state.apply(*wave(5500, ecg(5500, 250), seq=21), now_s=21.0)
    assert " GAP " in "\n".join(screen(state)) or "╌GAP╌" in "\n".join(screen(state))
    state = running_state(20)
    state.apply(*wave(5002, ecg(5002, 250), seq=21), now_s=21.0)
    assert "┆" in "\n".join(screen(state))


def test_marks_of_lost_samples_do_not_hide_those_of_beats():
    state = running_state(20)
    for second in range(20, 26):
        samples = ecg(second * 250, 250)
        samples[::10] = np.nan
        state.apply(*wave(second * 250, samples, seq=second + 1), now_s=second + 1.0)
        state.apply(beat(second * 250 + 125, seq=second + 1, anomalous=True), now_s=second + 1.0)
        state.apply(heartbeat(second + 1), now_s=second + 1.0)
    lines = screen(state, 80, 24, now_s=26.0)
    marks = next(line for line in lines if "1 mV" in line)
    assert marks.count("▲") >= 5
    assert "┆" in marks


@pytest.mark.parametrize(
    ("prepare", "now_s", "words"),
    [
        (lambda s: s.apply(heartbeat(21), now_s=22.0), 22.5, ["N O   D A T A"]),
        (lambda s: s.apply(status(5000, state="no_data"), now_s=20.0), 20.0, ["N O   D A T A"]),
        (lambda s: s.apply(status(5000, state="source_lost"), now_s=20.0), 20.0, ["S O U R C E   L O S T"]),
        (lambda s: s.apply(status(5000, state="ended"), now_s=20.0), 20.0, ["E N D E D"]),
        (lambda s: s.set_connection("stale", 20.0), 20.0, ["STALE", "S T A L E"]),
        (lambda s: s.set_connection("lost", 20.0), 20.0, ["CONNECTION LOST", "L O S T"]),
        (lambda s: s.apply(heartbeat(21, state="goodbye"), now_s=20.0), 20.0, ["MONITOR ENDED", "E N D E D"]),
    ],
)
def test_a_stopped_stream_is_dimmed_and_labelled(prepare, now_s, words):
    state = running_state(20)
    prepare(state)
    text = "\n".join(screen(state, 100, 30, now_s=now_s))
    for word in words:
        assert word in text
    assert "RR --" in text
    assert "██" not in text.replace("██████", "")  # dashes of six cells replace the heart rate
    assert "quality --" in text
    for run in runs_of(render(state, 100, 30, now_s)):
        if has_braille(run.text):
            assert run.style is not None
            assert run.style.dim  # dimmed


@pytest.mark.parametrize("connection", ["connecting", "stale", "lost"])
def test_without_a_connection_alarms_are_unknown(connection):
    state = running_state(20)
    state.set_connection(connection, 20.0)
    lines = screen(state)
    assert "alarms unknown" in lines[1]
    assert "no active alarms" not in "\n".join(lines)
    state.apply(alarm("asystole", "high"), now_s=20.0)  # known alarms stay
    assert "asystole" in screen(state)[1]


def test_a_monitor_that_has_ended_says_whether_alarms_were_active():
    state = running_state(20)
    state.apply(heartbeat(21, state="goodbye"), now_s=20.0)
    assert "no alarm was active when the monitor ended" in screen(state)[1]
    state.apply(alarm("asystole", "high"), now_s=20.0)
    assert "asystole" in screen(state)[1]


def test_before_the_first_message_the_screen_shows_what_it_waits_for():
    text = "\n".join(screen(DashboardState(), now_s=0.0))
    assert "CONNECTING" in text
    assert "waiting for the monitor" in text
    state = DashboardState()
    state.set_connection("connected", 0.0)
    state.apply(heartbeat(1), now_s=0.0)
    assert "W A I T I N G   F O R   S I G N A L" in "\n".join(screen(state))


def test_each_r_peak_has_a_mark_below_it():
    state = running_state(20)
    state.apply(beat(round(19.5 * FS_HZ), anomalous=True, score=9.0, p_value=0.0001), now_s=20.0)
    lines = screen(state, 100, 30)
    marks = next(line for line in lines if "▲" in line and "anomalous" not in line)
    assert marks.count("▲") == 1
    assert marks.count("╵") >= 3
    column = marks.index("▲")
    peak_rows = [n for n, line in enumerate(lines[5:18]) if has_braille(line[column - 1 : column + 2])]
    others = [n for n, line in enumerate(lines[5:18]) if has_braille(line[column - 6 : column - 3])]
    assert min(peak_rows) < min(others)  # the trace is highest above the mark
    assert "p <0.001" in "\n".join(lines)


def test_each_pacing_pulse_has_a_mark_above_the_trace():
    state = running_state()
    assert "pacing pulse" not in "\n".join(screen(state, 110, 34))
    header, raw = wave(5000, ecg(5000, 250), seq=21, pacer_samples=(5010, 5150))
    state.apply(header, raw, now_s=21.0)
    lines = screen(state, 110, 34)
    assert any("╿ pacing pulse" in line for line in lines)
    (marked,) = [line for line in lines if line.count("╿") == 2]
    at = [match.start() for match in re.finditer("╿", marked)]
    assert abs((at[1] - at[0]) - 140 / 250 * DOTS_PER_S / 2) <= 1.5


def test_a_beat_that_was_not_scored_has_its_reason():
    state = running_state(20)
    state.apply(beat(4875, log_prob=None, score=None, p_value=None, quality="muscle"), now_s=20.0)
    text = "\n".join(screen(state, 110, 34))
    assert "not scored: muscle noise" in text
    assert "○" in text


def trend_rows(state: DashboardState, rows: int = 9, left: int = AXIS_CELLS) -> list[str]:
    """The trend panel alone, without title; by default without its axis."""
    canvas = Canvas(60, rows)
    draw_trend(canvas, 0, 0, rows, 60, state.beds["p1"], live=True)
    return [line[left:] for line in lines_of(canvas.frame())[1:]]


def test_beats_above_the_axis_are_marked_and_equal_beats_are_drawn():
    state = DashboardState()
    for number in range(1, 30):
        state.apply(beat(number * 250, threshold=None), now_s=0.0)
    assert has_braille("\n".join(trend_rows(state)))
    assert "▲" not in "\n".join(trend_rows(state))
    state.apply(beat(30 * 250, score=1e6, anomalous=True), now_s=0.0)
    top, *others = trend_rows(state)
    assert top.endswith("▲")
    assert "▲" not in "".join(others)


@pytest.mark.parametrize(("usual", "limit", "odd"), [(1.5, 4.5, 5.5), (-350.0, -20.0, 10.0), (4.0e5, 5.0e5, 5.2e5)])
def test_anomalous_beats_are_above_the_limit_and_usual_ones_below(usual, limit, odd):
    state = DashboardState()
    for number in range(1, 21):
        anomalous = number % 4 == 0
        message = beat(number * 250, score=odd if anomalous else usual, threshold=limit, anomalous=anomalous)
        state.apply(message, now_s=0.0)
    rows = trend_rows(state, rows=13)
    dashed = next(n for n, row in enumerate(rows) if all(char != BLANK for char in row[-20:]))  # a dot in every cell
    columns = np.array([list(row[-20:]) for row in rows]) != BLANK
    places = [np.flatnonzero(np.delete(columns[:, n], dashed)) for n in range(20)]
    for number, (place,) in enumerate(places, start=1):
        assert (place < dashed) == (number % 4 == 0), number


@pytest.mark.parametrize("value", [0.0, 9.5, -137.5, 123456.0, -1234567.0, 1e30, -2.5e-5])
def test_a_tick_stays_in_its_cells(value):
    state = DashboardState()
    for number in range(1, 5):
        state.apply(beat(number * 250, score=value, threshold=None), now_s=0.0)
    assert {line[0] for line in trend_rows(state, left=AXIS_CELLS - 1)} == {"│"}


def test_a_frozen_waveform_is_labelled_and_alarms_continue():
    state = running_state(20)
    view = BedView(frozen=copy.deepcopy(state.beds["p1"]), frozen_at_s=20.0)
    before = screen(state, view=view)
    for second in range(20, 25):
        state.apply(*wave(second * 250, ecg(second * 250, 250), seq=second + 1), now_s=second + 1.0)
        state.apply(heartbeat(second + 1), now_s=second + 1.0)
    state.apply(alarm("asystole", "high", onset=5500, sample=6250), now_s=25.0)
    after = screen(state, view=view)
    assert "FROZEN 5 s" in after[-1]
    assert "asystole" in after[1]
    assert [line[:69] for line in after[6:20]] == [line[:69] for line in before[6:20]]
    assert "0:00:25" in after[0]


def test_several_beds_are_listed_with_their_most_urgent_alarm():
    state = running_state(5, beds=("p1", "p2"))
    state.apply(alarm("asystole", "high", bed="p2"), now_s=5.0)
    lines = screen(state)
    assert "beds" in lines[-2]
    assert "p2" in lines[-2]
    assert "!!!" in lines[-2]
    assert "b next bed" in lines[-1]
    assert "no active alarms" in lines[1]
    assert "asystole" in screen(state, view=BedView(bed="p2"))[1]


def test_the_line_of_beds_says_which_bed_is_not_watched_and_which_has_an_electrode_off():
    state = running_state(beds=("p1", "p2", "p3"))
    for bed, quality in (("p2", "leads_off"), ("p3", "motion")):
        fields = UNSEEN | {"quality": quality}
        state.apply(status(5250, bed=bed, **fields), now_s=21.0)
    line = screen(state, 120, 30)[-2]
    assert "p2 -- LEADS OFF" in line
    assert "p3 -- NOT WATCHED" in line


def test_help_audio_pause_and_notes_are_shown():
    state = running_state(5)
    text = "\n".join(screen(state, 80, 24, view=BedView(help=True)))
    for word in ("keys", "quit", "freeze", "acknowledge the top alarm", "higher is less usual; dashed: this patient's"):
        assert word in text
    state.apply(status(1250, audio_paused_s=103.0), now_s=5.0)
    assert "AUDIO PAUSED, 1:43 left" in screen(state)[1]
    assert "refused: no such alarm" in screen(state, view=BedView(note="refused: no such alarm"))[-1]


def test_control_characters_from_the_bus_are_not_printed():
    bed = "p\x1b]0;x\x07"
    state = running_state(5, beds=(bed,))
    evil = "\x1b[2J\x1b[H\x9b31m\r\n\u202e\u200b"
    state.apply(alarm("asystole", "high", text=evil, bed=bed, onset=3), now_s=5.0)
    state.apply(status(1250, bed=bed, source=evil, lead=evil, quality=evil), now_s=5.0)
    text = "\n".join(screen(state)).replace("\n", "")
    assert all(char.isprintable() for char in text)


def test_rendering_does_not_change_the_state():
    state = running_state(20)
    first = screen(state)
    assert screen(state) == first
    assert screen(state, 200, 50) != first
    assert screen(state) == first


def test_the_picture_is_an_svg_with_the_words_of_the_screen(tmp_path):
    state = running_state(20)
    state.apply(alarm("ventricular_run", "high", onset=4000), now_s=20.0)
    path = tmp_path / "dashboard.svg"
    export_frame(render(state, 110, 34, state.updated_s), path)
    words = "".join(ET.parse(path).getroot().itertext())
    for word in ("ventricular", "ecg-monitor", "medical", "MLII", "rate"):
        assert word in words
    assert has_braille(words)


def test_wide_characters_cut_in_half_leave_the_line_whole():
    canvas = Canvas(10, 1)
    canvas.text(0, 0, "床床床床床")
    canvas.text(0, 3, "x", Ink.BOLD)
    assert cell_len(lines_of(canvas.frame())[0]) == 10
    assert canvas.text(0, 8, "床床", room=2) <= 10


@pytest.mark.parametrize(
    "module", [bed_order, keyboard, panels, scale, tile, trend], ids=lambda module: module.__name__
)
def test_docstring_examples(module):
    assert doctest.testmod(module) == (0, 1)


def test_large_digits_are_distinct():
    for large in (False, True):
        shapes = {big_number(digit, large=large).tobytes() for digit in "0123456789- "}
        assert len(shapes) == 12
    assert big_number("102", large=False).shape == (3, 14)
    assert big_number("102", large=True).shape == (6, 28)


def test_a_gap_in_the_trace_is_not_labelled_leads_off():
    state = running_state()
    bed = state.beds["p1"]
    first = bed.lead.wave.end
    lost = np.where(np.arange(750) < 500, np.nan, ecg(first, 750)).astype(np.float32)
    state.apply(*wave(first, lost, seq=1000), now_s=state.updated_s)
    assert "LEADS OFF" in "\n".join(screen(state, 120, 34))
    event = EventMessage(epoch="e1", bed="p1", kind="gap", text="lost", first_sample=first, n_samples=500)
    state.apply(event, now_s=state.updated_s)
    shown = "\n".join(screen(state, 120, 34))
    assert "LEADS OFF" not in shown
    assert "╌GAP╌" in shown


def test_an_event_is_shown_at_the_bottom_for_ten_seconds():
    state = running_state()
    now_s = state.updated_s
    text = "serial lines: 5 lines were no sample, e.g. 'xx'"
    state.apply(EventMessage(epoch="e1", bed="p1", kind="bad_input", text=text, count=5), now_s=now_s)
    assert text in screen(state, 120, 34)[-1]
    narrow = screen(state, 80, 24)[-1]
    assert len(narrow) == 80
    assert "serial lines" in narrow
    assert "…" in narrow
    state.apply(EventMessage(epoch="e1", bed="p1", kind="gap", text="1 sample (4 ms) missing"), now_s=now_s)
    assert text in screen(state, 120, 34)[-1], "gaps have an alarm instead"
    state.apply(status(5000), now_s=now_s + 11.0)
    assert text not in "\n".join(screen(state, 120, 34))
