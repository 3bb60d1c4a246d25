"""A Movesense sensor that the emulator plays: start, parts, losses, refusals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from monitor.emulator.plan import Fate
from monitor.emulator.strap_models import MovesenseStrap
from monitor.errors import SourceError
from monitor.sources import SourceOptions, open_source
from monitor.sources.ble import movesense
from tests.monitor.sources.ble.played import Played, received

N = MovesenseStrap.n
COUNTS = np.arange(N * 400) % 3001 - 1500
UV = COUNTS * movesense.UV_PER_COUNT


@pytest.fixture
def play() -> Iterator[Callable[..., Played]]:
    """Plays a sensor: number of notifications, faults, arguments of MovesenseStrap."""
    opened: list[Played] = []

    def make(frames: int = 100, faults: str = "", **model: Any) -> Played:
        opened.append(Played(UV[: frames * N], MovesenseStrap(**model), faults))
        return opened[-1]

    yield make
    for played in opened:
        played.close()


def options(played: Played, **more: Any) -> SourceOptions:
    return SourceOptions(clock=played.clock, **more)


@pytest.mark.parametrize("fs_hz", [125.0, 200.0, 250.0, 500.0])
def test_the_ecg_is_read_at_every_rate(fs_hz: float, play: Callable[..., Played]) -> None:
    played = play(fs_hz=fs_hz)
    source = open_source(f"ble:movesense@{played.at}", options(played, fs_hz=fs_hz))
    assert source.fs_hz == fs_hz
    samples, notices = received(played, source)
    assert list(samples) == list(range(100 * N))
    np.testing.assert_allclose(list(samples.values()), UV[: 100 * N] / 1e3, atol=1e-9)
    texts = " ".join(notice.text for notice in notices)
    assert f"Movesense 210330000123 (0C:8C:DC:E5:E5:E5), firmware default 2.3.1, {fs_hz:g} Hz" in texts
    assert "battery 80 %" in texts


def test_notifications_in_two_parts_are_joined_after_the_first(play: Callable[..., Played]) -> None:
    played = play(part_bytes=40)
    source = open_source(f"ble:@{played.at}", options(played))
    samples, notices = received(played, source, lambda samples: len(samples) >= 99 * N)
    np.testing.assert_allclose(list(samples.values()), UV[N : 100 * N] / 1e3, atol=1e-9)
    assert sum(notice.count for notice in notices if notice.kind == "bad_input") == 2


def test_lost_late_and_repeated_notifications_move_nothing(play: Callable[..., Played]) -> None:
    played = play(400, "drop=3%,late=3%,twice=3%,drift=0.5%")
    samples, _ = received(played, open_source(f"ble:@{played.at}", options(played)))
    assert played.strap.fates[Fate.DROPPED] > 3
    assert list(samples) == played.samples()
    np.testing.assert_allclose(list(samples.values()), UV[list(samples)] / 1e3, atol=1e-9)


def test_out_of_reach_is_a_gap_of_the_sensors_clock(play: Callable[..., Played]) -> None:
    played = play(400, "unplug@6s for 9s")
    samples, notices = received(played, open_source(f"ble:@{played.at}", options(played)))
    assert list(samples) == played.samples()
    assert [notice.kind for notice in notices if "source" in notice.kind] == ["source_lost", "source_back"]


def test_a_sensor_that_neither_greets_nor_answers_is_read_by_its_data(play: Callable[..., Played]) -> None:
    played = play(100, greets=False, status=0)
    samples, _ = received(played, open_source(f"ble:@{played.at}", options(played)))
    assert list(samples) == list(range(100 * N))


@pytest.mark.parametrize(
    ("model", "faults", "fs_hz", "text"),
    [
        ({"status": 409}, "", None, r"refuses to send its ECG \(busy with another measurement\); end other programs"),
        ({"status": 507}, "", None, "too many measurements at once"),
        ({"status": 418}, "", None, "status 418"),
        ({"fs_hz": 125.0}, "", 250.0, "unknown sampling rate"),
        ({}, "", 130.0, "--fs 130 Hz; a Movesense is read with 125, 200, 250, 500 Hz"),
        ({"status": 0}, "stall@0s for 600s", None, "does not answer the start of its ECG; update its firmware"),
        ({}, "stall@0s for 600s", None, "sent no ECG for 5 s"),
        ({}, "noise@0s for 600s", None, "no ECG that is understood"),
    ],
)
def test_a_refusal_is_one_line_with_the_remedy(
    model: dict[str, Any], faults: str, fs_hz: float | None, text: str, play: Callable[..., Played]
) -> None:
    played = play(400, faults, **model)
    with pytest.raises(SourceError, match=text) as caught:
        open_source(f"ble:@{played.at}", options(played, fs_hz=fs_hz))
    assert "\n" not in str(caught.value)


def test_parts_that_are_lost_are_counted() -> None:
    parts = movesense.EcgParts()
    stamp, counts = (1000).to_bytes(4, "little"), np.arange(16, dtype="<i4").tobytes()
    first, second = bytes((2, 99)) + stamp + counts[:40], bytes((3, 99)) + counts[40:]
    with pytest.raises(ValueError, match="without its first"):
        parts.frame(second)
    assert parts.frame(first) is None
    frame = parts.frame(second)
    assert frame is not None
    assert frame.stamp_s == 1.0
    np.testing.assert_allclose(frame.values, np.arange(16) * movesense.UV_PER_COUNT)
    assert parts.frame(first) is None
    with pytest.raises(ValueError, match="without its second"):
        parts.frame(first)
    assert parts.frame(second) is not None
