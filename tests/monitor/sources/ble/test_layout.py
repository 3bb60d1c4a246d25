"""A device described by keys: every type, order and counter; losses; keys that are wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from monitor.emulator.plan import Fate
from monitor.emulator.strap_models import GenericStrap
from monitor.errors import SourceError
from monitor.sources import SourceOptions, open_source
from monitor.sources.ble.layout import TYPES, Layout, parse_layout
from tests.monitor.sources.ble.played import Played, received

UUID = "6e400003-b5a3-f393-e0a9-e50e24dcca9e"
FS_HZ = 250.0
UV = np.arange(6000) % 2001 - 1000.0


@pytest.fixture
def play() -> Iterator[Callable[..., Played]]:
    """Plays a device: layout, number of samples, faults."""
    opened: list[Played] = []

    def make(layout: Layout, samples: int = 1000, faults: str = "", uv_per_unit: float = 1.0) -> Played:
        opened.append(Played(UV[:samples], GenericStrap(FS_HZ, layout, uv_per_unit), faults))
        return opened[-1]

    yield make
    for played in opened:
        played.close()


def opened(played: Played, **more: Any) -> Any:
    options = SourceOptions(clock=played.clock, fs_hz=FS_HZ, **{"unit": "uV", **more})
    return open_source(f"ble:MyECG@{played.at}{played.model.query}", options)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("order", ["little", "big"])
def test_every_type_in_both_orders_is_read(kind: str, order: Any, play: Callable[..., Played]) -> None:
    played = play(Layout(UUID, type=kind, order=order, skip=3, tail=2, n=10))
    samples, notices = received(played, opened(played))
    assert list(samples) == list(range(1000))
    offset = 32768 if kind == "uint16" else 0
    np.testing.assert_allclose(list(samples.values()), (UV[:1000] + offset) / 1e3)
    assert f"MyECG ({GenericStrap.address}), 250 Hz" in " ".join(notice.text for notice in notices)


@pytest.mark.parametrize("counter_bytes", [1, 2, 4])
@pytest.mark.parametrize("n", [1, 10])
def test_a_counter_shows_losses_exactly(counter_bytes: int, n: int, play: Callable[..., Played]) -> None:
    layout = Layout(UUID, skip=counter_bytes, n=n, counter=0, counter_bytes=counter_bytes)
    played = play(layout, 300 * n, "drop=4%")
    samples, notices = received(played, opened(played))
    assert played.strap.fates[Fate.DROPPED] > 3
    assert list(samples) == played.samples()
    np.testing.assert_allclose(list(samples.values()), UV[list(samples)] / 1e3)
    assert not [notice for notice in notices if notice.kind == "bad_input"]


NPG = Layout(  # blocks of a counter and three channels, as an NPG Lite of Upside Down Labs sends them
    "beb5483e-36e1-4688-b7f5-ea07361b26a8",
    order="big",
    skip=3,
    stride=7,
    n=10,
    counter=0,
    counts="samples",
    start="0000ff01-0000-1000-8000-00805f9b34fb:START",
)


def test_blocks_of_several_channels_with_a_counter_of_samples_after_a_command(play: Callable[..., Played]) -> None:
    played = play(NPG, 4000, "drop=3%,twice=2%")
    samples, notices = received(played, opened(played))
    assert "start=0000ff01-0000-1000-8000-00805f9b34fb:START" in played.model.query
    assert played.strap.fates[Fate.DROPPED] > 3
    assert list(samples) == played.samples()
    np.testing.assert_allclose(list(samples.values()), UV[list(samples)] / 1e3)
    dropped = sum(notice.count for notice in notices if notice.kind == "bad_input")
    assert dropped == played.strap.fates[Fate.TWICE] > 1


def test_a_command_may_have_any_bytes(play: Callable[..., Played]) -> None:
    command = bytes(range(1, 256)).decode(errors="surrogateescape")
    played = play(Layout(UUID, n=10, start=f"0000ff01-0000-1000-8000-00805f9b34fb:{command}"))
    assert len(received(played, opened(played))[0]) == 1000
    layout = parse_layout(f"characteristic={UUID}&start=ff01:%01%ffA%2BB", "ble:MyECG")
    assert layout.start.partition(":")[2].encode(errors="surrogateescape") == b"\x01\xffA+B"


def test_with_a_counter_repeated_and_overtaken_notifications_are_dropped(play: Callable[..., Played]) -> None:
    played = play(Layout(UUID, skip=1, n=10, counter=0), 6000, "twice=3%,late=2%")
    samples, notices = received(played, opened(played))
    fates = played.strap.fates
    kept = [i for i in played.samples() if played.fates[i // 10] != Fate.LATE]
    assert list(samples) == kept
    dropped = sum(notice.count for notice in notices if notice.kind == "bad_input")
    assert dropped == fates[Fate.TWICE] + fates[Fate.LATE] > 3


def test_without_a_counter_a_loss_of_the_connection_is_a_gap_by_time(play: Callable[..., Played]) -> None:
    played = play(Layout(UUID, n=10), 6000, "unplug@10s for 6s")
    samples, notices = received(played, opened(played), lambda samples: len(samples) >= 4000)
    (gap,) = [i for i in samples if i and i - 1 not in samples]
    before = max(i for i in samples if i < gap)
    assert gap - before == pytest.approx(6 * FS_HZ, abs=0.3 * FS_HZ)
    assert [notice.kind for notice in notices if "source" in notice.kind] == ["source_lost", "source_back"]


def test_counts_have_the_given_scale(play: Callable[..., Played]) -> None:
    played = play(Layout(UUID, type="int24", n=8), uv_per_unit=0.5)
    samples, _ = received(played, opened(played, unit="adc", mv_per_unit=0.0005))
    np.testing.assert_allclose(list(samples.values()), UV[:1000] / 1e3)


def test_nan_and_infinite_numbers_have_no_value(play: Callable[..., Played], monkeypatch: pytest.MonkeyPatch) -> None:
    odd = np.arange(500) % 10
    uv = np.where(odd == 3, np.nan, np.where(odd == 5, np.inf, np.where(odd == 7, 3e38, UV[:500])))
    monkeypatch.setattr("tests.monitor.sources.ble.test_layout.UV", uv)
    played = play(Layout(UUID, type="float32", n=10), 500)
    samples, notices = received(played, opened(played))
    assert np.isnan(np.array(list(samples.values()))[np.isin(odd, (3, 5, 7))]).all()
    assert np.isfinite(np.array(list(samples.values()))[~np.isin(odd, (3, 5, 7))]).all()
    assert sum(notice.count for notice in notices if "infinite" in notice.text) == 100


def test_notifications_of_another_length_are_counted(play: Callable[..., Played]) -> None:
    played = play(Layout(UUID, n=10), 6000)
    played.model.query = f"?characteristic={UUID}&n=11"
    with pytest.raises(SourceError, match=r"it sends nothing that fits the layout \(20 bytes do not fit"):
        opened(played)


def test_a_characteristic_that_the_device_does_not_have_lists_those_it_has(play: Callable[..., Played]) -> None:
    played = play(Layout(UUID, n=10))
    played.model.query = "?characteristic=2a37"
    with pytest.raises(SourceError, match=f"no characteristic 00002a37-.*; those that send are {UUID}"):
        opened(played)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("characteristic", "write keys as key=value"),
        ("", "give the characteristic"),
        ("type=int16", "give the characteristic"),
        ("characteristic=xyz", "is no UUID; give 4 hex digits, or 32"),
        (f"characteristic={UUID}&service=12", "is no UUID"),
        (f"characteristic={UUID}&colour=red", "no key 'colour'; there are characteristic, service, type"),
        (f"characteristic={UUID}&type=int12", "type=int12; choose one of int16, uint16, int24, int32, float32"),
        (f"characteristic={UUID}&order=middle", "order=middle; choose one of little, big"),
        (f"characteristic={UUID}&skip=-1", "skip=-1; give a whole number from 0 to 512"),
        (f"characteristic={UUID}&n=1e3", "n=1e3; give a whole number"),
        (f"characteristic={UUID}&n=00000999", "give a whole number"),
        (f"characteristic={UUID}&n=300", "600 bytes in a notification; Bluetooth allows 512"),
        (f"characteristic={UUID}&stride=2&skip=1", "stride=2 has no room for skip and sample"),
        (f"characteristic={UUID}&counts=both", "counts=both; choose one of notifications, samples"),
        (f"characteristic={UUID}&start=ff01", "start=ff01; give characteristic and text, e.g. start=ff01:START"),
        (f"characteristic={UUID}&counter=0", "a counter needs n"),
        (f"characteristic={UUID}&counter=0&n=10", "not in the skip or tail bytes; give skip"),
        (f"characteristic={UUID}&counter=30&n=10", "not in the skip or tail bytes"),
        (f"characteristic={UUID}&counter=0&n=10&skip=3&counter_bytes=3", "counter_bytes=3; give 1, 2 or 4"),
    ],
)
def test_a_wrong_key_is_one_line(query: str, text: str) -> None:
    with pytest.raises(SourceError, match=text) as caught:
        parse_layout(query, "ble:MyECG")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "options", "text"),
    [
        (f"ble:MyECG?characteristic={UUID}", {"unit": "uV"}, "a layout has no rate; give --fs"),
        (f"ble:MyECG?characteristic={UUID}", {"fs_hz": 250.0}, "int16 numbers have no unit; give --unit uV, or --unit"),
        (f"ble:?characteristic={UUID}", {"fs_hz": 250.0, "unit": "uV"}, "give the device's name or address before the"),
    ],
)
def test_what_a_layout_cannot_tell_is_asked_for(spec: str, options: dict[str, Any], text: str) -> None:
    with pytest.raises(SourceError, match=text):
        open_source(spec, SourceOptions(**options))
