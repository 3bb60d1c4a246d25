"""The ward: content at any size, order of beds, conditions."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from monitor.dashboard.bed import CLOCK_STILL_S
from monitor.dashboard.bed_alarms import CALM
from monitor.dashboard.bed_order import SORT_EVERY_S, BedOrder, BedRef
from monitor.dashboard.keyboard import keys_in
from monitor.dashboard.state import MAX_BEDS, DashboardState
from monitor.dashboard.tile import shortened
from monitor.dashboard.ward import WardView, lay_out, page_of, render_ward
from monitor.quality_labels import quality_words
from tests.monitor.dashboard.helpers import FS_HZ, alarm, ecg, heartbeat, lines_of, running_state, runs_of, status, wave
from tests.monitor.dashboard.ward_helpers import ordered, ward_state

SIZES = [(60, 16), (80, 24), (100, 30), (200, 60), (400, 120)]
MANY = [f"bed-{number}" for number in range(1, 1001)]


def screen(
    order: BedOrder, width: int = 100, height: int = 30, now_s: float = 20.0, view: WardView | None = None
) -> list[str]:
    return lines_of(render_ward(order, width, height, now_s, view))


def style_of(order: BedOrder, text: str, now_s: float = 20.0) -> str:
    """Background colour of the first run with that text; empty = none."""
    runs = runs_of(render_ward(order, 100, 30, now_s))
    style = next(run.style for run in runs if text in run.text)
    return style.bgcolor.name if style is not None and style.bgcolor is not None else ""


def labels(order: BedOrder) -> list[str]:
    return [entry.label for entry in order.entries]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("beds", [1, 2, 12, 60, 1000])
def test_every_bed_of_the_page_has_name_and_rate(width: int, height: int, beds: int) -> None:
    names = MANY[:beds]
    order = ordered(m=ward_state(names))
    page = page_of(order, WardView(), width, height)
    lines = screen(order, width, height)
    assert [cell_len(line) for line in lines] == [width] * height
    text = "\n".join(lines)
    assert [entry.label for entry in page.shown] == names[: len(page.shown)]
    for entry in page.shown:
        assert re.search(rf"\b{entry.label}\b", text)
    assert len(re.findall(r" 60(?!\d)", text)) >= len(page.shown)
    assert f"{beds:,} bed" in lines[0]
    assert "● connected" in lines[0]
    assert text.count("Not a medical device") == 1
    assert (f"page 1 of {page.pages:,}" in lines[-1]) == (page.pages > 1)


@pytest.mark.parametrize(("width", "height"), [(30, 8), *SIZES])
def test_limits_stand_under_the_rate(width: int, height: int) -> None:
    state = ward_state(["bed-1"])
    state.apply(status(5000, bed="bed-1", rate_low_bpm=45.0, rate_high_bpm=None), now_s=20.0)
    lines = screen(ordered(m=state), width, height)
    rate = next(number for number, line in enumerate(lines) if re.search(r" 60\b", line))
    assert lines[rate + 1].rstrip().endswith("45-off")


def test_a_tiny_ward_shows_rate_and_alarm_of_the_most_urgent_bed() -> None:
    state = ward_state(["bed-1", "bed-2"], [("bed-2", "tachycardia", "high", "onset")])
    lines = screen(ordered(m=state), 16, 3)
    assert [line.strip() for line in lines] == ["!!! tachycardia", "HR 60", "bed-2"]


@pytest.mark.parametrize(("width", "height"), [(20, 6), (40, 12), *SIZES])
def test_a_bed_that_is_not_watched_says_so(width: int, height: int) -> None:
    state = ward_state(["bed-1"])
    seconds = {"quality": "motion", "rhythm": "not watched", "unwatched_s": 75.0, "heart_rate_bpm": None}
    state.apply(status(5000, bed="bed-1", **seconds), now_s=20.0)
    assert "NOT WATCHED 1:15" in "\n".join(screen(ordered(m=state), width, height))
    if width >= 60:
        assert "1 NOT WATCHED" in screen(ordered(m=state), width, height)[0]
    state.apply(alarm("poor_signal", "high", bed="bed-1", category="technical"), now_s=20.0)
    assert "NOT WATCHED 1:15" in "\n".join(screen(ordered(m=state), width, height))
    state.apply(alarm("asystole", "high", "latched", bed="bed-1"), now_s=20.0)
    lines = screen(ordered(m=state), width, height)
    assert lines[2].find("asystole") < lines[2].find("NOT WATCHED") or width < 30
    assert "asystole" in lines[2]


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 260),
    height=st.integers(1, 80),
    names=st.lists(st.text(min_size=1, max_size=40), max_size=40, unique=True),
    view=st.builds(
        WardView,
        cursor=st.none() | st.builds(BedRef, st.just("m"), st.sampled_from(["bed-3", "p"])),
        traces=st.booleans(),
        find=st.sampled_from(["", "bed", "\x1b[", "床"]),
        finding=st.booleans(),
        help=st.booleans(),
        note=st.sampled_from(["", "acknowledged: " + "x" * 300]),
    ),
    several=st.booleans(),
    later_s=st.sampled_from([0.0, 5.0, 60.0]),
)
def test_a_frame_has_exactly_the_given_size_for_any_names(
    width: int, height: int, names: list[str], view: WardView, several: bool, later_s: float
) -> None:
    alarms = [(name, "asystole", "high", "onset") for name in names[:3]]
    states = {"m": ward_state([*names, "bed-3"], alarms)}
    if several:
        states["tcp://a-monitor-with-a-long-name:5556"] = ward_state([*names[:2], "床三"], epoch="e2")
    order = ordered(20.0 + later_s, **states)
    lines = screen(order, width, height, 20.0 + later_s, view)
    assert [cell_len(line) for line in lines] == [width] * height


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 5000), st.integers(16, 500), st.integers(1, 200), st.booleans())
def test_tiles_fit_the_screen(beds: int, width: int, rows: int, traces: bool) -> None:
    grid = lay_out(beds, width, rows, traces=traces)
    assert grid.cols * grid.tile_cols <= width
    assert grid.rows * grid.tile_rows <= rows
    assert grid.per_page >= 1
    assert grid.tile_rows >= 1


def test_more_beds_fit_without_traces() -> None:
    names = MANY[:100]
    state = running_state(8, beds=tuple(names))
    order = ordered(8.0, m=state)
    text = "\n".join(screen(order, now_s=8.0))
    assert re.search("[\u2801-\u28ff]", text)
    with_trace = page_of(order, WardView(), 100, 30)
    without = page_of(order, WardView(traces=False), 100, 30)
    assert len(without.shown) > len(with_trace.shown)
    assert not re.search("[\u2801-\u28ff]", "\n".join(screen(order, now_s=8.0, view=WardView(traces=False))))


def test_priorities_have_signs_and_colours_and_acknowledged_alarms_no_background() -> None:
    order = ordered(
        m=ward_state(
            ["a1", "b1", "c1", "d1", "e1"],
            [
                ("a1", "asystole", "high", "onset"),
                ("b1", "tachycardia", "medium", "onset"),
                ("c1", "anomalous_beat", "low", "onset"),
                ("d1", "asystole", "high", "acknowledged"),
                ("e1", "leads_off", "medium", "onset"),
            ],
        )
    )
    text = "\n".join(screen(order))
    for words in ("!!! a1", "!! b1", "! c1", "!!! d1", "!! e1", "asystole ✓", "TECH leads off", "anomalous beat"):
        assert words in text
    assert [style_of(order, name) for name in ("a1", "b1", "c1", "d1")] == ["red", "yellow", "cyan", ""]
    assert re.search(r"!!! 2 high .*!! 2 medium .*! 1 low", text)


def test_beds_are_sorted_by_urgency_then_by_name() -> None:
    state = ward_state(
        ["bed-10", "bed-9", "acked", "low", "new-medium", "new-high", "leads", "gone"],
        [
            ("acked", "asystole", "high", "acknowledged"),
            ("low", "anomalous_beat", "low", "onset"),
            ("new-medium", "tachycardia", "medium", "onset"),
            ("new-high", "asystole", "high", "latched"),
            ("leads", "leads_off", "medium", "onset"),
        ],
    )
    state.apply(status(round(20 * FS_HZ), bed="gone", state="no_data"), now_s=20.0)
    expected = ["new-high", "new-medium", "acked", "gone", "leads", "low", "bed-9", "bed-10"]
    assert labels(ordered(m=state)) == expected


def test_beds_keep_their_places_for_seconds_unless_a_high_alarm_is_new() -> None:
    state = ward_state(["a", "b", "c"])
    order = ordered(m=state)
    state.apply(alarm("tachycardia", "medium", bed="c"), now_s=20.5)
    order.update(20.5)
    assert labels(order) == ["a", "b", "c"]
    assert order.entries[2].rank < CALM  # shown in its place
    state.apply(alarm("asystole", "high", bed="b"), now_s=21.0)
    order.update(21.0)
    assert labels(order) == ["b", "c", "a"]
    state.apply(alarm("asystole", "high", "cleared", bed="b"), now_s=21.5)
    order.update(21.5)
    assert labels(order) == ["b", "c", "a"]
    order.update(21.0 + SORT_EVERY_S)
    assert labels(order) == ["c", "a", "b"]


def test_the_page_follows_the_bed_under_the_cursor() -> None:
    state = ward_state(MANY)
    order = ordered(m=state)
    assert page_of(order, WardView(), 80, 24).number == 0
    last = page_of(order, WardView(cursor=BedRef("m", "bed-1000")), 80, 24)
    assert (last.number, last.at) == (last.pages - 1, 999)
    state.apply(alarm("asystole", "high", bed="bed-1000"), now_s=20.0)
    order.update(20.0)
    moved = page_of(order, WardView(cursor=BedRef("m", "bed-1000")), 80, 24)
    assert (moved.number, moved.at) == (0, 0)
    assert moved.cursor is not None
    assert moved.cursor.label == "bed-1000"
    assert page_of(order, WardView(cursor=BedRef("m", "no such bed")), 80, 24).at == 0


def test_the_filter_shows_only_matching_beds() -> None:
    order = ordered(m=ward_state(MANY))
    page = page_of(order, WardView(find="BED-99"), 80, 24)
    assert [entry.label for entry in page.beds] == ["bed-99", *(f"bed-99{digit}" for digit in range(10))]
    assert "no bed matches: nothing" in "\n".join(screen(order, view=WardView(find="nothing")))


# -- conditions ------------------------------------------------------------------------------------------------


def test_a_still_sample_clock_is_no_data_although_statuses_arrive() -> None:
    state = ward_state(["stuck", "fine"])
    for second in range(1, 6):
        now_s = 20.0 + second
        state.apply(heartbeat(1 + second, beds=("stuck", "fine")), now_s=now_s)
        state.apply(status(round(20.0 * FS_HZ), bed="stuck", seq=second, beats=second), now_s=now_s)
        state.apply(status(round(now_s * FS_HZ), bed="fine", seq=second, beats=second), now_s=now_s)
    order = ordered(20.0 + CLOCK_STILL_S + 0.5, m=state)
    lines = screen(order, now_s=20.0 + CLOCK_STILL_S + 0.5)
    assert "NO DATA" in "\n".join(lines)
    head = next(line for line in lines if "stuck" in line)
    assert "---" in head
    assert "1 NO DATA" in lines[0]
    assert labels(order) == ["stuck", "fine"]


def test_a_bed_whose_waves_stop_is_no_data_within_two_seconds_and_shows_no_trace() -> None:
    state = running_state(8, beds=("a", "b"))
    header, raw = wave(8 * 250, ecg(2000, 250), seq=9, bed="b")
    for now_s in (9.0, 10.1):
        state.apply(heartbeat(10, beds=("a", "b")), now_s=now_s)
        state.apply(header, raw, now_s=now_s)
    order = ordered(10.1, m=state)
    assert [(entry.label, entry.condition) for entry in order.entries] == [("a", "no_data"), ("b", "live")]
    lines = screen(order, 60, 20, now_s=10.1)
    grid = page_of(order, WardView(), 60, 20).grid
    assert grid.cols == 1
    silent, live = "\n".join(lines[1 : 1 + grid.tile_rows]), "\n".join(lines[1 + grid.tile_rows :])
    assert "NO DATA" in silent
    assert not re.search("[\u2801-\u28ff]", silent)
    assert re.search("[\u2801-\u28ff]", live)


@pytest.mark.parametrize("traces", [True, False])
def test_only_tiles_of_the_lost_monitor_are_labelled(traces: bool) -> None:
    lost, fine = ward_state(["a", "b", "c"]), ward_state(["x", "y"], epoch="e2", now_s=40.0)
    order = ordered(40.0, **{"tcp://10.0.0.1:5556": lost, "tcp://10.0.0.2:5556": fine})
    lines = screen(order, now_s=40.0, view=WardView(traces=traces))
    text = "\n".join(lines[2:])
    assert text.count("CONNECTION LOST") == 3
    assert text.count("---") == 3
    assert "✕ 1 of 2 not connected" in lines[0]
    assert lines[1].startswith(" ✕ LOST 10.0.0.1:5556 3 beds")
    assert "● 10.0.0.2:5556 2 beds" in lines[1]
    assert labels(order)[:3] == ["a", "b", "c"]


def test_alarms_of_a_lost_monitor_stay_visible() -> None:
    state = ward_state(["a"], [("a", "asystole", "high", "onset")])
    for traces in (True, False):
        text = "\n".join(screen(ordered(60.0, m=state), now_s=60.0, view=WardView(traces=traces)))
        assert "!!! a" in text
        assert "CONNECTION LOST" in text


def test_poor_signal_quality_is_named() -> None:
    state = ward_state(["a"])
    state.apply(status(round(20 * FS_HZ), bed="a", seq=2, quality="motion", scorable=False), now_s=20.0)
    assert f"signal {quality_words('motion')}" in "\n".join(screen(ordered(m=state)))


def test_a_rate_is_not_shown_if_the_count_of_beats_does_not_grow() -> None:
    state = ward_state(["a"])
    bed = state.beds["a"]
    shown = []
    for second in range(1, 9):
        now_s = 20.0 + second
        state.apply(status(round(now_s * FS_HZ), bed="a", seq=1 + second, beats=40), now_s=now_s)
        shown.append(bed.shown_rate_bpm(now_s))
        assert bed.stream_condition(now_s) == "live"
    assert shown == [60.0] * 7 + [None]


def test_beds_over_the_limit_are_counted_in_the_header() -> None:
    state = ward_state([f"bed-{number}" for number in range(MAX_BEDS + 7)])
    assert "7 NOT SHOWN" in screen(ordered(m=state))[0]


# -- names and several monitors ----------------------------------------------------------------------------------


def test_equal_names_of_two_monitors_get_the_address() -> None:
    one, two = ward_state(["icu-1", "icu-2"]), ward_state(["icu-1", "icu-3"], epoch="e2")
    order = ordered(**{"tcp://10.0.0.1:5556": one, "tcp://10.0.0.2:5556": two})
    assert sorted(labels(order)) == ["icu-1@10.0.0.1:5556", "icu-1@10.0.0.2:5556", "icu-2", "icu-3"]
    text = "\n".join(screen(order))
    assert "icu-1@10.0.0.1:5556" in text
    two.apply(heartbeat(1, beds=("icu-9",), epoch="e3"), now_s=20.5)  # restarted with other beds
    order.update(20.5)
    assert sorted(labels(order)) == ["icu-1", "icu-2", "icu-9"]


def test_long_names_are_shortened_in_the_middle() -> None:
    assert shortened("icu-1@10.0.0.1:5556", 40) == "icu-1@10.0.0.1:5556"
    assert shortened("icu-1@10.0.0.1:5556", 13) != shortened("icu-1@10.0.0.1:5557", 13)
    assert all(len(shortened("icu-1@10.0.0.1:5556", cells)) <= cells for cells in range(1, 30))


# -- subscriptions -----------------------------------------------------------------------------------------------


def test_waves_and_beats_are_kept_only_for_subscribed_beds() -> None:
    state = ward_state(MANY)
    state.set_detail({"bed-1"}, {"bed-1"}, 20.0)
    for name in MANY[:50]:
        state.apply(*wave(5000, ecg(5000, 250), bed=name), now_s=20.0)
    assert [name for name, bed in state.beds.items() if bed.lead.wave is not None] == ["bed-1"]
    assert state.malformed == 0
    state.set_detail({"bed-2"}, (), 20.5)
    assert not [name for name, bed in state.beds.items() if bed.lead.wave is not None]
    assert state.beds["bed-2"].stream_condition(21.0) == "live"  # its waves may arrive later
    assert state.beds["bed-2"].stream_condition(23.0) == "no_data"
    assert state.beds["bed-1"].stream_condition(21.0) == "live"


def test_waves_are_the_same_however_often_they_are_read() -> None:
    seldom, often = DashboardState(), DashboardState()
    for number in range(300):
        first = number * 10 + (7 if number >= 100 else 0) + (500 if number >= 200 else 0)
        header, raw = wave(first, ecg(first, 10), seq=number + 1 + (3 if number >= 200 else 0))
        for state in (seldom, often):
            state.apply(header, raw, now_s=number / 25)
        assert often.beds["p1"].lead.wave is not None
    rings = [state.beds["p1"].lead.wave for state in (seldom, often)]
    (values, kinds), (values2, kinds2) = (ring.read(0, 4000) for ring in rings if ring is not None)
    assert kinds.tolist() == kinds2.tolist()
    assert values.tobytes() == values2.tobytes()
    assert seldom.beds["p1"].fs_hz == FS_HZ


# -- keys --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ("\x1b[A\x1b[B\x1b[C\x1b[D\x1bOA\x1bOH", ["up", "down", "right", "left", "up", "home"]),
        ("\x1b[5~\x1b[6~\x1b[1~\x1b[F", ["page up", "page down", "home", "end"]),
        ("\r\n\x7fä/", ["enter", "enter", "backspace", "ä", "/"]),
        ("\x1b\x1b[A", ["escape", "up"]),
        ("\x1ba", []),  # Alt and a letter
        ("\x1b[15~\x1b[1;5Aq\x00\x05", ["q"]),  # function keys, Ctrl with an arrow, control characters
        ("\x1b[", []),
    ],
)
def test_letters_of_an_escape_sequence_are_no_keys(sent: str, keys: list[str]) -> None:
    assert keys_in(sent) == keys


@given(st.text(max_size=60))
def test_keys_of_any_input_are_names_or_printable(sent: str) -> None:
    named = {"up", "down", "left", "right", "home", "end", "page up", "page down", "enter", "escape", "backspace"}
    assert all(key in named or (len(key) == 1 and key.isprintable()) for key in keys_in(sent))
