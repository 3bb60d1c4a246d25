"""Properties of the braille plot, the ring buffer and the vertical scale."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from monitor.dashboard.braille import column_edges, column_extrema, dots_to_chars, draw_extrema, quantise
from monitor.dashboard.ring import SampleKind, WaveRing
from monitor.dashboard.scale import HALF_STEPS_MV, VerticalScale, even_axis, fit_scale, tick_label

MV = st.floats(-4, 4, width=32)
SIGNALS = hnp.arrays(np.float32, st.integers(1, 600), elements=MV | st.just(np.nan))


def dots_of(chars):
    """Invert dots_to_chars by the Unicode names' numbering of dots (1-3, 7 left; 4-6, 8 right)."""
    bits = {0: (0, 0), 1: (1, 0), 2: (2, 0), 3: (0, 1), 4: (1, 1), 5: (2, 1), 6: (3, 0), 7: (3, 1)}
    dots = np.zeros((4 * chars.shape[0], 2 * chars.shape[1]), dtype=bool)
    for (row, col), char in np.ndenumerate(chars):
        code = 0 if char == " " else ord(char) - 0x2800
        for bit, (down, right) in bits.items():
            dots[4 * row + down, 2 * col + right] = bool(code >> bit & 1)
    return dots


@given(SIGNALS, st.integers(1, 80), st.integers(1, 12))
def test_each_column_is_drawn_from_its_minimum_to_its_maximum(samples, columns, rows):
    edges = np.minimum(column_edges(0, columns, len(samples) / columns), len(samples))
    low, high = column_extrema(samples, edges)
    levels = 4 * rows
    dots = draw_extrema(quantise(low, -4, 4, levels), quantise(high, -4, 4, levels), levels, connect=False)
    for column in range(columns):
        own = samples[edges[column] : edges[column + 1]]
        own = own[np.isfinite(own)]
        if edges[column] == edges[column + 1]:
            continue  # narrower than a sample
        lit = np.flatnonzero(dots[:, column])
        if len(own) == 0:
            assert len(lit) == 0
            continue
        assert levels - 1 - lit[0] == quantise(own, -4, 4, levels).max()
        assert levels - 1 - lit[-1] == quantise(own, -4, 4, levels).min()
        assert len(lit) == lit[-1] - lit[0] + 1  # no gaps


@given(SIGNALS, st.integers(2, 80))
def test_connecting_adds_dots_only_between_neighbours(samples, columns):
    edges = np.minimum(column_edges(0, columns, len(samples) / columns), len(samples))
    low, high = (quantise(v, -4, 4, 40) for v in column_extrema(samples, edges))
    bare = draw_extrema(low, high, 40, connect=False)
    joined = draw_extrema(low, high, 40)
    assert (joined | bare == joined).all()
    level = 39 - np.arange(40)
    for column in range(columns):
        near = [c for c in (column - 1, column, column + 1) if 0 <= c < columns and low[c] >= 0]
        lit = level[joined[:, column]]
        if low[column] < 0:
            assert len(lit) == 0
        else:
            assert min(low[c] for c in near) <= lit.min()
            assert lit.max() <= max(high[c] for c in near)
    for left in range(columns - 1):  # neighbours touch
        if low[left] >= 0 and low[left + 1] >= 0:
            a, b = level[joined[:, left]], level[joined[:, left + 1]]
            assert a.min() <= b.max() + 1
            assert b.min() <= a.max() + 1


@given(hnp.arrays(bool, st.tuples(st.integers(1, 6).map(lambda r: 4 * r), st.integers(1, 9).map(lambda c: 2 * c))))
def test_characters_hold_exactly_the_dots(dots):
    assert (dots_of(dots_to_chars(dots)) == dots).all()


@given(st.integers(-1000, 10**10), st.integers(1, 300), st.integers(0, 500), st.floats(0.05, 5000))
def test_columns_keep_their_samples_while_they_scroll(first, columns, shift, samples_per_column):
    before = column_edges(first, columns, samples_per_column)
    after = column_edges(first + shift, columns, samples_per_column)
    common = columns + 1 - shift
    assert (np.diff(before) >= 0).all()
    if common > 0:
        assert (before[shift:] == after[:common]).all()


@given(st.data())
@settings(max_examples=60)
def test_the_ring_holds_the_written_samples_for_any_cut(data):
    """Against a plain dictionary as the model."""
    ring, model, end = WaveRing(100.0, 2.0), {}, data.draw(st.integers(-500, 10**9))
    begin = end
    for _ in range(data.draw(st.integers(1, 12))):
        jump = data.draw(st.sampled_from([0, 0, 0, 3, 90, 1000]))
        values = data.draw(hnp.arrays(np.float32, st.integers(0, 300), elements=MV | st.just(np.nan)))
        dropped = data.draw(st.booleans())
        if len(values) == 0:
            continue
        if model:
            model.update({end + i: (None, SampleKind.DROPPED if dropped else SampleKind.LOST) for i in range(jump)})
        ring.write(end + jump, values, dropped=dropped)
        for i, value in enumerate(values):
            valid = np.isfinite(value)
            model[end + jump + i] = (value, SampleKind.VALID) if valid else (None, SampleKind.LEADS_OFF)
        end += jump + len(values)
    values, kinds = ring.read(end - 250, 250 + 20)
    for at, (value, kind) in enumerate(zip(values, kinds, strict=True)):
        sample = end - 250 + at
        known = model.get(sample) if end - ring.capacity <= sample < end and sample >= begin else None
        expected_value, expected_kind = known or (None, SampleKind.NEVER)
        assert kind == expected_kind
        assert np.isnan(value) if expected_value is None else value == expected_value


def test_a_jump_back_clears_the_ring():
    ring = WaveRing(100.0, 2.0)
    ring.write(1000, np.ones(100, np.float32))
    ring.write(0, np.full(10, 2.0, np.float32))
    assert ring.end == 10
    assert ring.latest(2.0)[-10:].tolist() == [2.0] * 10
    assert np.isnan(ring.latest(2.0)[:-10]).all()


def test_a_reported_gap_is_no_leads_off():
    ring = WaveRing(100.0, 2.0)
    ring.note_gap(-500, 10)  # not in the ring
    ring.note_gap(20, 5)  # the event may come before the wave or after it
    ring.write(0, np.full(60, np.nan, np.float32))
    ring.note_gap(30, 10)
    ring.note_gap(58, 1000)
    _, kinds = ring.read(10, 50)
    lost = [10 + at for at in np.flatnonzero(kinds == SampleKind.LOST)]
    assert lost == [*range(20, 25), *range(30, 40), 58, 59]
    assert (kinds[kinds != SampleKind.LOST] == SampleKind.LEADS_OFF).all()
    ring.write(60, np.ones(10, np.float32))
    assert (ring.read(60, 10)[1] == SampleKind.VALID).all()


@given(hnp.arrays(np.float32, st.integers(24, 400), elements=st.floats(-30, 30, width=32)))
def test_the_scale_fits_the_usual_amplitude_and_is_stable(values):
    scale = fit_scale(values, VerticalScale())
    assert scale.half_mv in HALF_STEPS_MV
    assert fit_scale(values, scale) == scale  # the same signal keeps the scale
    middle = np.median(values)
    blocks = values[: len(values) // 12 * 12].reshape(12, -1)
    usual = max(np.median(blocks.max(axis=1)) - middle, middle - np.median(blocks.min(axis=1)))
    inside = values[np.abs(values - middle) <= 4 * usual]
    assert (inside >= scale.low_mv - 1e-4).all()
    assert (inside <= scale.high_mv + 1e-4).all()


def test_an_artefact_does_not_flatten_the_beats():
    beats = np.tile(np.sin(np.linspace(0, 6.28, 100)), 24).astype(np.float32)
    before = fit_scale(beats, VerticalScale())
    beats[700:720] = 40.0
    assert fit_scale(beats, before).half_mv <= 5.0


@given(st.sampled_from(HALF_STEPS_MV), st.integers(-30, 30), st.integers(1, 80))
def test_ticks_are_evenly_spaced_round_numbers_and_the_range_stays_in_the_plot(half, centre, rows):
    scale = VerticalScale(centre * half / 10, half)
    shown, ticks = even_axis(scale, rows)
    level_mv = 2 * shown.half_mv / (4 * rows - 1)
    assert shown.low_mv <= scale.low_mv + level_mv
    assert shown.high_mv >= scale.high_mv - level_mv
    if rows >= 6:
        assert shown.half_mv <= 1.5 * half
        assert len(ticks) >= 2
    order = sorted(ticks)
    assert len(set(np.diff(order))) <= 1
    values = [ticks[row] for row in order]
    assert all(0 <= row < rows for row in order)
    levels = quantise(np.array(values, np.float32), shown.low_mv, shown.high_mv, 4 * rows)
    assert [rows - 1 - int(level) // 4 for level in levels] == order or half > 100  # float32
    labels = [tick_label(value, values) for value in values]
    assert len(set(labels)) == len(labels)
    assert all(len(label) <= 5 for label in labels) or half >= 500
    assert np.allclose([float(label) for label in labels], values)
