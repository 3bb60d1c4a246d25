"""A Polar H10 that the emulator plays: losses, order, disconnection, stalls, refusals, permissions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("bleak", reason="pip install '.[ble]'")
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakDBusError,
    BleakDeviceNotFoundError,
    BleakError,
)

from monitor.emulator.plan import Fate
from monitor.emulator.strap_models import PolarStrap, Refused
from monitor.errors import SourceError
from monitor.sources import Notice, Source, SourceOptions, open_source
from monitor.sources.ble import polar, radio
from monitor.sources.ble.radio import Backend
from monitor.sources.ble.source import BleSource
from tests.monitor.sources.ble.played import Played, raising, received, with_client, with_others, with_scanner
from tests.monitor.sources.helpers import wait_for

FRAME = PolarStrap.n
NAME, ADDRESS = PolarStrap.name, PolarStrap.address
UV = np.round(900 * np.sin(np.arange(FRAME * 150) / 15)) + np.arange(FRAME * 150)  # no two frames are equal


@pytest.fixture
def play() -> Iterator[Callable[..., Played]]:
    """Plays a strap: number of notifications, faults, arguments of PolarStrap."""
    opened: list[Played] = []

    def make(frames: int = 20, faults: str = "", *, away: bool = False, **model: Any) -> Played:
        opened.append(Played(UV[: frames * FRAME], PolarStrap(**model), faults, away=away))
        return opened[-1]

    yield make
    for played in opened:
        played.close()


def opened(played: Played, what: str = "", backend: Backend | None = None) -> Source:
    options = SourceOptions(clock=played.clock)
    if backend is None:
        return open_source(f"ble:{what}@{played.at}", options)
    return BleSource(what, options, f"ble:{what}", backend)


def kinds(notices: list[Notice]) -> list[str]:
    return [notice.kind for notice in notices]


def assert_exact(played: Played, samples: dict[int, float], *, within: int = 0) -> None:
    """Every sample that was sent is there, and no other one, at its index or `within` samples of it."""
    sent = played.samples()
    assert len(samples) == len(sent)
    assert np.abs(np.subtract(list(samples), sent)).max() <= within
    np.testing.assert_allclose(list(samples.values()), UV[sent] / 1000)


@pytest.mark.parametrize("what", [NAME, NAME.lower(), ADDRESS, ADDRESS.lower(), "Polar", ""])
def test_a_strap_is_found_by_name_address_or_first_letters_and_read_in_mv(
    what: str, play: Callable[..., Played], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []
    write = PolarStrap.write
    monkeypatch.setattr(
        PolarStrap, "write", lambda self, uuid, value: written.append(value) or write(self, uuid, value)
    )
    played = play(5)
    samples, notices = received(played, opened(played, what))
    assert_exact(played, samples)
    assert len(samples) == 5 * FRAME
    assert {"battery", "format"} == set(kinds(notices))
    texts = " ".join(notice.text for notice in notices)
    assert "battery 80 %" in texts
    assert f"{NAME} ({ADDRESS}), firmware 3.1.1, 130 Hz" in texts
    wait_for(lambda: len(written) == 2, "the stop, before the connection is closed")
    assert written == [polar.START_ECG, polar.STOP_ECG]


def test_several_straps_are_listed(play: Callable[..., Played]) -> None:
    played = play()
    backend = with_others(played, ["Polar H10 99999999", "Movesense 1", "A phone"])
    with pytest.raises(SourceError, match=rf"several devices match: .*99999999 .*{ADDRESS}.*give one address"):
        opened(played, "polar h10", backend)
    with pytest.raises(SourceError, match=r"several devices match: .*Movesense 1"):
        opened(played, "", backend)
    infos = radio.list_devices("ports --ble", backend)
    assert [(info.name, info.ecg) for info in infos] == [
        (NAME, True),
        ("Polar H10 99999999", True),
        ("Movesense 1", True),
        ("A phone", False),
    ]


def test_a_strap_that_is_not_there_is_one_line_with_what_is(play: Callable[..., Played]) -> None:
    played = play()
    with pytest.raises(SourceError, match=rf"no Movesense in reach; wear the strap .* in reach: {NAME}"):
        opened(played, "Movesense")
    away = play(away=True)
    with pytest.raises(SourceError, match=r"no Polar H10 or Movesense in reach; .* no device with a name is in reach"):
        opened(away)


def test_a_strap_that_is_connected_elsewhere_is_not_found(play: Callable[..., Played]) -> None:
    played = play(80)
    first = opened(played)
    with pytest.raises(SourceError, match="end programs and phone apps that use it"):
        opened(played)
    first.close()


def test_without_an_emulator_the_line_says_how_to_start_one() -> None:
    with pytest.raises(SourceError, match=r"no emulator at 127.0.0.1:1; start one: ecg-monitor emulate --format polar"):
        open_source("ble:@127.0.0.1:1")


def test_lost_notifications_are_gaps_and_nothing_moves(play: Callable[..., Played]) -> None:
    played = play(60, "drop=15%")
    samples, notices = received(played, opened(played))
    assert played.strap.fates[Fate.DROPPED] > 4
    assert_exact(played, samples)
    assert "bad_input" not in kinds(notices)


def test_reordered_and_repeated_notifications_are_put_in_order(play: Callable[..., Played]) -> None:
    played = play(80, "late=6%,twice=8%,drop=4%")
    samples, notices = received(played, opened(played))
    fates = played.strap.fates
    assert min(fates[Fate.LATE], fates[Fate.TWICE], fates[Fate.DROPPED]) > 1
    assert_exact(played, samples)
    assert sum(notice.count for notice in notices if notice.kind == "bad_input") == fates[Fate.TWICE]


def test_a_burst_after_a_hiccup_loses_nothing(play: Callable[..., Played]) -> None:
    played = play(40, "hiccup@8s for 4s")
    samples, _ = received(played, opened(played))
    assert_exact(played, samples)
    assert len(samples) == 40 * FRAME


def test_out_of_reach_is_lost_then_back_with_the_gap_of_the_straps_clock(play: Callable[..., Played]) -> None:
    played = play(90, "unplug@6s for 12s,unplug@24s for 1s")
    samples, notices = received(played, opened(played))
    assert_exact(played, samples)
    assert [kind for kind in kinds(notices) if kind.startswith("source")] == ["source_lost", "source_back"] * 2
    assert played.strap.fates[Fate.UNPLUGGED] > 20


def test_after_a_loss_only_the_same_strap_is_taken(play: Callable[..., Played]) -> None:
    played, others = play(60, "unplug@20s for 1s"), list[str]()
    source = opened(played, "polar", with_others(played, others))
    others.append("Polar H10 99999999")  # as well in reach from now on; "polar" is no longer one strap
    samples, notices = received(played, source)
    assert_exact(played, samples)
    assert "source_back" in kinds(notices)
    assert not any("several" in notice.text for notice in notices)


def test_a_stall_is_a_loss_and_the_strap_is_connected_again(play: Callable[..., Played]) -> None:
    played = play(150, "stall@5s for 40s")
    samples, notices = received(played, opened(played))
    lost = next(notice for notice in notices if notice.kind == "source_lost")
    assert "sent no ECG for 5 s" in lost.text
    assert_exact(played, samples, within=1)  # 40 s at the rate that was measured over the 5 s before
    assert "source_back" in kinds(notices)


@pytest.mark.parametrize("jump", ["100000000", "-300000000", "3000", "-4"])
def test_a_clock_that_is_set_moves_no_sample(jump: str, play: Callable[..., Played]) -> None:
    played = play(40, f"clock@8s={jump}s,clock@16s=-1e3".replace("-1e3", "-1000"))
    samples, notices = received(played, opened(played), lambda samples: len(samples) >= 34 * FRAME)
    firsts = [i for i in samples if i - 1 not in samples]
    assert firsts == [0] or jump == "-4", "a jump of a few seconds back looks like three old notifications"
    assert sum(notice.count for notice in notices if "clock" in notice.text) == 2


def test_drift_of_the_straps_clock_moves_nothing(play: Callable[..., Played]) -> None:
    played = play(80, "drift=1%,drop=4%")
    samples, _ = received(played, opened(played))
    assert_exact(played, samples)


def test_no_contact_is_samples_without_a_value(play: Callable[..., Played]) -> None:
    played = play(30, "leadsoff@5s for 4s")
    samples, _ = received(played, opened(played))
    off = [i for i, value in samples.items() if np.isnan(value)]
    (span,) = played.strap.plan.spans
    assert off == list(range(span.first_sample * FRAME, span.end_sample * FRAME))
    assert list(samples) == list(range(30 * FRAME))


def test_a_strap_that_does_not_report_contact_has_values(play: Callable[..., Played]) -> None:
    played = play(30, "leadsoff@5s for 4s", contact=(0x10, 0x10))
    samples, _ = received(played, opened(played))
    assert not np.isnan(list(samples.values())).any()


def test_the_battery_is_an_event_at_each_change(play: Callable[..., Played]) -> None:
    played = play(30, "battery@0s=80,battery@3s=59,battery@6s=59,battery@9s=12,battery@11s=255")
    _, notices = received(played, opened(played))
    texts = [notice.text.split(": ", 1)[1] for notice in notices if notice.kind == "battery"]
    assert texts == ["battery 80 %", "battery 59 %", "battery 12 %; replace the battery"]


def test_a_strap_without_battery_firmware_features_and_contact_still_gives_its_ecg(
    play: Callable[..., Played], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(self: PolarStrap, uuid: str) -> bytes:
        raise Refused(2)

    monkeypatch.setattr(PolarStrap, "read", read)
    played = play(5, contact=(0x10, 0x10))
    samples, notices = received(played, opened(played))
    assert len(samples) == 5 * FRAME
    assert kinds(notices) == ["format"]


def test_garbled_notifications_and_noise_are_counted_and_move_nothing(play: Callable[..., Played]) -> None:
    played = play(60, "noise@10s for 4s")
    samples, notices = received(played, opened(played))
    assert_exact(played, samples)
    unknown = sum(notice.count for notice in notices if "no known ECG frame" in notice.text)
    assert unknown == played.strap.fates[Fate.NOISE] > 5


def test_a_wrong_rate_is_reported_and_its_samples_have_no_value(play: Callable[..., Played]) -> None:
    played = play(80, "rate=1.5")
    samples, notices = received(played, opened(played), lambda samples: len(samples) >= 30 * FRAME)
    assert [notice.text.rpartition(": ")[2] for notice in notices if notice.kind == "sampling_rate"] == [
        "the strap sends 195.0 samples a second, not 130"
    ]
    assert np.isnan(list(samples.values())[10 * FRAME :]).all()


def test_an_ecg_that_runs_already_is_stopped_and_started(play: Callable[..., Played]) -> None:
    played = play(5)
    played.model.running = True  # left by a program that was killed
    samples, _ = received(played, opened(played), lambda samples: len(samples) >= FRAME)
    assert samples


UPDATE = "a Polar H10 with firmware 3.0.35 or newer sends it"


@pytest.mark.parametrize(
    ("model", "faults", "text"),
    [
        *(
            ({"answers": [bytes([0xF0, 2, 0, code, 0])]}, "", rf"refuses to send its ECG \({words}\); {remedy}")
            for code, words, remedy in (
                (1, "unknown command", UPDATE),
                (2, "unknown type of measurement", UPDATE),
                (3, "not supported", UPDATE),
                (4, "wrong length", UPDATE),
                (5, "wrong parameter", UPDATE),
                (6, "already in that state", "end other programs"),
                (7, "wrong resolution", UPDATE),
                (8, "wrong sampling rate", UPDATE),
                (9, "wrong range", UPDATE),
                (10, "MTU too small", "use an adapter of Bluetooth 4.2"),
                (11, "wrong number of channels", UPDATE),
                (12, "not possible in its present state", "stop its recording"),
                (13, "in the charger", "take it out of the charger"),
                (14, "its memory is full", "delete its recordings"),
                (99, "error 99", UPDATE),
            )
        ),
        ({"answers": [b"\x01\x02"]}, "", "answers 01 02, which is not understood; turn it off and on"),
        ({"answers": [b""]}, "", "does not answer the start; turn it off and on"),
        ({"features": bytes([0x0F, 0x04])}, "", "the strap measures no ECG; a Polar H10"),
        ({}, "stall@0s for 600s", "sent no ECG for 5 s; is it worn"),
        ({}, "noise@0s for 600s", "no ECG that is understood"),
    ],
)
def test_a_strap_that_refuses_is_one_line_with_the_remedy(
    model: dict[str, Any], faults: str, text: str, play: Callable[..., Played]
) -> None:
    played = play(90, faults, **model)
    with pytest.raises(SourceError, match=text) as caught:
        opened(played)
    assert "\n" not in str(caught.value)


def test_a_strap_without_the_ecg_service_or_with_an_older_one_is_refused(play: Callable[..., Played]) -> None:
    played = play()
    older = {"fb005c51-02e7-f387-1cad-8acd2d8df0c8": ["write"]}
    played.model.services = {**played.model.services, polar.PMD_SERVICE: older}
    with pytest.raises(SourceError, match="its ECG service is an older one; update its firmware"):
        opened(played)
    played.model.services = {k: v for k, v in played.model.services.items() if k != polar.PMD_SERVICE}
    with pytest.raises(SourceError, match=rf"{NAME} has no ECG; a Polar H10 with firmware 3.0.35 or newer and a Moves"):
        opened(played)


DENIED = "no permission for Bluetooth; Linux: sudo usermod -aG bluetooth"


@pytest.mark.parametrize(
    ("part", "error", "text"),
    [
        ("connect", TimeoutError(), "the strap does not answer; bring it nearer"),
        ("connect", BleakDeviceNotFoundError(ADDRESS), "the strap does not answer; .* end programs and phone apps"),
        ("connect", BleakDBusError("org.bluez.Error.NotAuthorized", []), DENIED),
        ("connect", BleakError("failed to discover services, device disconnected"), "Bluetooth: failed to"),
        ("connect", EOFError(), "Bluetooth: EOFError"),
        ("start_notify", BleakDBusError("org.bluez.Error.NotPermitted", []), DENIED),
        ("scan", BleakDBusError("org.freedesktop.DBus.Error.AccessDenied", ["Rejected"]), DENIED),
        ("scan", PermissionError(13, "Permission denied"), DENIED),
        ("scan", FileNotFoundError(2, "no D-Bus"), "service does not run; start it: sudo systemctl start"),
        ("scan", BleakDBusError("org.bluez.Error.NotReady", []), "Bluetooth is off; turn it on"),
        *(
            ("scan", BleakBluetoothNotAvailableError("x", why), text)
            for why, text in (
                (BleakBluetoothNotAvailableReason.NO_BLUETOOTH, "no Bluetooth adapter; plug one in"),
                (BleakBluetoothNotAvailableReason.NO_BLE_CENTRAL_ROLE, "has no Low Energy; use one of Bluetooth 4.0"),
                (BleakBluetoothNotAvailableReason.POWERED_OFF, "Bluetooth is off; turn it on"),
                (BleakBluetoothNotAvailableReason.DENIED_BY_USER, DENIED),
                (BleakBluetoothNotAvailableReason.UNKNOWN, "Bluetooth is not available"),
            )
        ),
    ],
)
def test_bluetooth_that_cannot_be_used_is_one_line_with_the_remedy(
    part: str, error: Exception, text: str, play: Callable[..., Played]
) -> None:
    played = play()
    fails = raising(error)
    backend = with_scanner(played, start=fails) if part == "scan" else with_client(played, **{part: fails})
    if part == "start_notify":  # battery and contact may be refused; the ECG is not
        text = DENIED
    with pytest.raises(SourceError, match=text) as caught:
        opened(played, NAME, backend)
    assert str(caught.value).startswith(f"ble:{NAME}: ")
    assert "\n" not in str(caught.value)


def test_a_backend_that_hangs_is_given_up(play: Callable[..., Played]) -> None:
    async def hang(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    played = play()
    with pytest.raises(SourceError, match="the strap does not answer; bring it nearer"):
        opened(played, NAME, with_client(played, connect=hang))


def test_bluetooth_that_is_turned_off_while_it_runs_is_waited_for(play: Callable[..., Played]) -> None:
    played = play(90, "unplug@3s for 2s")
    off = False

    async def start(self: Any) -> None:
        if off:
            raise BleakDBusError("org.bluez.Error.NotReady", [])
        assert played.backend.scanner is not None
        await played.backend.scanner.start(self)

    source = opened(played, NAME, with_scanner(played, start=start))
    off = True
    seen: list[Notice] = []

    def reported(text: str) -> Callable[[], bool]:
        def there() -> bool:
            chunk = source.read(1000)
            seen.extend(chunk.notices if chunk else ())
            return any(text in notice.text for notice in seen)

        return there

    try:
        wait_for(reported("Bluetooth is off"), "the loss")
        off = False
        wait_for(reported("the strap is back"), "the strap")
    finally:
        source.close()
    with pytest.raises(SourceError, match="closed"):
        source.read(1)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"fs_hz": 250.0}, "--fs 250 Hz, but the strap has 130 Hz; leave out --fs"),
        ({"start_s": 3.0}, "leave out --start"),
    ],
)
def test_options_that_a_strap_does_not_have_are_refused(
    options: dict[str, float], text: str, play: Callable[..., Played]
) -> None:
    played = play()
    with pytest.raises(SourceError, match=text):
        open_source(f"ble:@{played.at}", SourceOptions(clock=played.clock, **options))


def test_garbage_of_every_kind_is_survived_and_what_is_intact_stays_in_order(play: Callable[..., Played]) -> None:
    played = play(
        150, "garble=25%,twice=10%,late=10%,noise@20s for 3s,clock@30s=100000000,clock@50s=-200000000,battery@9s=200"
    )
    samples, notices = received(played, opened(played), lambda _: played.strap.ended)
    assert "source_lost" not in kinds(notices)
    uv = np.round(np.array(list(samples.values())) * 1000)
    frames = {UV[k * FRAME]: k for k, fate in enumerate(played.fates) if fate == Fate.INTACT}
    starts = [(i, frames[value]) for i, value in enumerate(uv.tolist()) if value in frames]
    whole = [k for i, k in starts if np.array_equal(uv[i : i + FRAME], UV[k * FRAME : (k + 1) * FRAME])]
    assert len(whole) > 0.5 * len(frames)
    assert whole == sorted(whole)
    assert max(samples) < 1.2 * UV.size, "no stamp makes a gap that is longer than the time"
