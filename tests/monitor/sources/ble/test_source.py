"""A fake Polar H10 behind bleak's backend interface: losses, order, disconnection, stalls, refusals, permissions."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

pytest.importorskip("bleak", reason="pip install '.[ble]'")
from bleak.exc import BleakBluetoothNotAvailableError, BleakBluetoothNotAvailableReason, BleakDBusError, BleakError

from monitor.errors import SourceError
from monitor.sources import Notice, SourceOptions, open_source
from monitor.sources.ble import polar, radio
from monitor.sources.ble import source as ble_source
from tests.monitor.sources.ble.strap import ADDRESS, FRAME, NAME, Strap
from tests.monitor.sources.helpers import Clock, gather, wait_for

UV = np.round(900 * np.sin(np.arange(FRAME * 60) / 15)) + np.arange(FRAME * 60)  # no two frames are equal


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(ble_source, "_BACKOFF_S", (0.01, 0.02))
    monkeypatch.setattr(ble_source, "_ANSWER_S", 0.2)
    monkeypatch.setattr(ble_source, "_OPEN_S", 2.0)
    monkeypatch.setattr(ble_source, "BUFFER_S", 3600.0)
    monkeypatch.setattr(radio, "SCAN_S", 1.0)
    yield
    radio.use_backend(radio.Backend())


def strap_of(frames: int = 20, **faults: object) -> Strap:
    strap = Strap(UV[: frames * FRAME], Clock(), **faults)  # type: ignore[arg-type]
    radio.use_backend(strap.backend())
    return strap


def received(
    strap: Strap, what: str = NAME, enough: Callable[[dict[int, float]], bool] | None = None
) -> tuple[dict[int, float], list[Notice]]:
    """Samples by index, mV, and notices of the whole signal."""
    assert strap.clock is not None
    source = open_source(f"ble:{what}", SourceOptions(clock=strap.clock))
    last = strap.uv[-1] / 1000

    def done(samples: dict[int, float], _: list[Notice]) -> bool:
        return enough(samples) if enough else bool(samples) and abs(list(samples.values())[-1] - last) < 1e-9

    try:
        return gather(source, done)
    finally:
        source.close()


def kinds(notices: list[Notice]) -> list[str]:
    return [notice.kind for notice in notices]


@pytest.mark.parametrize("what", [NAME, NAME.lower(), ADDRESS, ADDRESS.lower(), "Polar", ""])
def test_a_strap_is_found_by_name_address_or_first_letters_and_read_in_mv(what: str) -> None:
    strap = strap_of(5)
    samples, notices = received(strap, what)
    assert list(samples) == list(range(5 * FRAME))
    np.testing.assert_allclose(list(samples.values()), UV[: 5 * FRAME] / 1000)
    assert {"battery", "format"} == set(kinds(notices))
    texts = " ".join(notice.text for notice in notices)
    assert "battery 80 %" in texts
    assert f"{NAME} ({ADDRESS}), firmware 3.1.1, 130 Hz" in texts
    assert strap.commands[0] == polar.START_ECG
    assert strap.commands[-1] == polar.STOP_ECG, "stopped before the connection is closed"


def test_several_straps_are_listed() -> None:
    strap_of(others=["Polar H10 99999999", "A phone"])
    with pytest.raises(SourceError, match=rf"several devices match: .*99999999 .*{ADDRESS}.*give one address"):
        open_source("ble:polar h10")
    infos = radio.list_devices("ports --ble")
    assert [(info.name, info.ecg) for info in infos] == [
        ("Polar H10 99999999", True),
        (NAME, True),
        ("A phone", False),
    ]


def test_a_strap_that_is_not_there_is_one_line_with_what_is() -> None:
    strap_of()
    with pytest.raises(SourceError, match=rf"no Movesense in reach; wear the strap .* in reach: {NAME}"):
        open_source("ble:Movesense")


def test_lost_notifications_are_gaps_and_nothing_moves() -> None:
    strap = strap_of(30, lost={3, 7, 8, 9, 20})
    samples, notices = received(strap)
    expected = [i for i in range(30 * FRAME) if i // FRAME not in strap.lost]
    assert list(samples) == expected
    np.testing.assert_allclose(list(samples.values()), UV[expected] / 1000)
    assert "bad_input" not in kinds(notices)


def test_reordered_and_repeated_notifications_are_put_in_order() -> None:
    strap = strap_of(30, late={4, 11}, twice={6, 20}, lost={15})
    samples, notices = received(strap)
    expected = [i for i in range(30 * FRAME) if i // FRAME != 15]
    assert list(samples) == expected
    np.testing.assert_allclose(list(samples.values()), UV[expected] / 1000)
    assert sum(notice.count for notice in notices if notice.kind == "bad_input") == 2


def test_out_of_reach_is_lost_then_back_with_the_gap_of_the_straps_clock() -> None:
    away = 20 * FRAME / 130.0
    strap = strap_of(50, breaks={10: away, 40: 2 * FRAME / 130.0})
    samples, notices = received(strap)
    expected = [i for i in range(50 * FRAME) if i // FRAME not in (*range(10, 30), 40, 41)]
    assert list(samples) == expected
    np.testing.assert_allclose(list(samples.values()), UV[expected] / 1000)
    assert [kind for kind in kinds(notices) if kind.startswith("source")] == ["source_lost", "source_back"] * 2
    assert strap.connections == 3


def test_after_a_loss_only_the_same_strap_is_taken() -> None:
    strap = strap_of(60, breaks={50: 0.0})
    assert strap.clock is not None
    source = open_source("ble:polar", SourceOptions(clock=strap.clock))
    strap.others.append("Polar H10 99999999")  # as well in reach from now on; "polar" is no longer one strap
    try:
        _, notices = gather(source, lambda samples, _: bool(samples) and max(samples) >= 59 * FRAME)
    finally:
        source.close()
    assert "source_back" in kinds(notices)
    assert not any("several" in notice.text for notice in notices)


def test_a_stall_is_a_loss_and_the_strap_is_connected_again() -> None:
    strap = strap_of(60, stalls={8})
    samples, notices = received(strap)
    lost = next(notice for notice in notices if notice.kind == "source_lost")
    assert "sent no ECG for 5 s" in lost.text
    after = list(samples)[8 * FRAME]
    assert after > 8 * FRAME + 5 * 130, "the time without samples is missing"
    np.testing.assert_allclose(list(samples.values()), UV[list(samples)] / 1000)
    assert list(samples) == [*range(8 * FRAME), *range(after, 60 * FRAME)]
    assert strap.connections == 2


def test_a_clock_that_is_set_moves_no_sample() -> None:
    strap = strap_of(40, jumps={10: 1e8, 20: -3e8, 30: 3000.0})
    samples, notices = received(strap)
    assert list(samples) == list(range(40 * FRAME))
    assert sum(notice.count for notice in notices if "clock" in notice.text) == 3


def test_no_contact_is_samples_without_a_value() -> None:
    strap = strap_of(20, contact={5: 0x14, 10: 0x16, 15: 0x10})
    samples, _ = received(strap)
    off = [i for i, value in samples.items() if np.isnan(value)]
    assert off == list(range(5 * FRAME, 10 * FRAME))


def test_the_battery_is_an_event_at_each_change() -> None:
    strap = strap_of(20, battery={-1: 60, 4: 60, 8: 59, 12: 12, 14: 255})
    _, notices = received(strap)
    texts = [notice.text.split(": ", 1)[1] for notice in notices if notice.kind == "battery"]
    assert texts == ["battery 60 %", "battery 59 %", "battery 12 %; replace the battery"]


def test_a_strap_without_battery_firmware_and_contact_still_gives_its_ecg() -> None:
    strap = strap_of(5, refused={polar.BATTERY, polar.FIRMWARE, polar.HEART_RATE})
    samples, notices = received(strap)
    assert len(samples) == 5 * FRAME
    assert kinds(notices) == ["format"]


def test_garbled_notifications_are_counted_and_missing() -> None:
    strap = strap_of(
        20, garble={3: b"", 4: b"\0" * 11, 5: bytes([2]) + b"\0" * 30, 6: b"\0" * 9 + b"\x80" + b"\0" * 30}
    )
    samples, notices = received(strap)
    assert list(samples) == [i for i in range(20 * FRAME) if i // FRAME not in (3, 4, 5, 6)]
    assert sum(notice.count for notice in notices if "no known ECG frame" in notice.text) == 4


def test_a_wrong_rate_is_reported_and_its_samples_have_no_value() -> None:
    strap = strap_of(50, fs_hz=200.0)
    samples, notices = received(strap, enough=lambda samples: len(samples) >= 30 * FRAME)
    assert [notice.text for notice in notices if notice.kind == "sampling_rate"] == [
        f"ble:{NAME}: the strap sends 200.0 samples a second, not 130"
    ]
    assert np.isnan(list(samples.values())[10 * FRAME :]).all()


def test_an_ecg_that_runs_already_is_stopped_and_started() -> None:
    strap = strap_of(5, answers=[bytes([0xF0, 2, 0, 6, 0]), bytes([0xF0, 2, 0, 0, 0, 0])])
    samples, _ = received(strap)
    assert len(samples) == 5 * FRAME
    assert strap.commands[:3] == [polar.START_ECG, polar.STOP_ECG, polar.START_ECG]


DENIED = "no permission for Bluetooth; Linux: sudo usermod -aG bluetooth"


@pytest.mark.parametrize(
    ("faults", "text"),
    [
        (
            {"answers": [bytes([0xF0, 2, 0, 3, 0])]},
            r"refuses to send its ECG \(not supported\); a Polar H10 with firmware 3.0.35",
        ),
        ({"answers": [bytes([0xF0, 2, 0, 99])]}, r"refuses to send its ECG \(error 99\)"),
        ({"answers": [b"\x01\x02"]}, "answers 01 02, which is not understood; a Polar H10 with firmware 3.0.35"),
        ({"answers": [b""]}, "does not answer the start of its ECG"),
        ({"service": False}, "has no ECG; a Polar H10 with firmware 3.0.35 or newer"),
        ({"stalls": {0}}, "sent no ECG for 5 s; is it worn"),
        ({"garble": dict.fromkeys(range(20), b"\x00" * 12), "stalls": {19}}, "no ECG that is understood"),
        ({"hangs": True}, "the strap does not answer; bring it nearer"),
        ({"refused": {polar.PMD_DATA}}, "Bluetooth: .*Read Not Permitted"),
        ({"connect_error": TimeoutError()}, "the strap does not answer; bring it nearer"),
        ({"connect_error": BleakDBusError("org.bluez.Error.NotAuthorized", [])}, DENIED),
        ({"connect_error": BleakError("failed to discover services, device disconnected")}, "Bluetooth: failed to"),
        ({"connect_error": EOFError()}, "Bluetooth: EOFError"),
        ({"scan_error": BleakDBusError("org.freedesktop.DBus.Error.AccessDenied", ["Rejected"])}, DENIED),
        ({"scan_error": PermissionError(13, "Permission denied")}, DENIED),
        ({"scan_error": FileNotFoundError(2, "no D-Bus")}, "service does not run; start it: sudo systemctl start"),
        ({"scan_error": BleakDBusError("org.bluez.Error.NotReady", [])}, "Bluetooth is off; turn it on"),
        *(
            ({"scan_error": BleakBluetoothNotAvailableError("x", why)}, text)
            for why, text in (
                (BleakBluetoothNotAvailableReason.NO_BLUETOOTH, "no Bluetooth adapter; plug one in"),
                (BleakBluetoothNotAvailableReason.POWERED_OFF, "Bluetooth is off; turn it on"),
                (BleakBluetoothNotAvailableReason.DENIED_BY_USER, DENIED),
                (BleakBluetoothNotAvailableReason.UNKNOWN, "Bluetooth is not available"),
            )
        ),
    ],
)
def test_what_cannot_be_opened_is_one_line_with_the_remedy(faults: dict[str, object], text: str) -> None:
    strap = strap_of(**faults)
    assert strap.clock is not None
    with pytest.raises(SourceError, match=text) as caught:
        open_source(f"ble:{NAME}", SourceOptions(clock=strap.clock))
    assert str(caught.value).startswith(f"ble:{NAME}: ")
    assert "\n" not in str(caught.value)


def test_bluetooth_that_is_turned_off_while_it_runs_is_waited_for() -> None:
    strap = strap_of(20, breaks={5: 0.0})
    assert strap.clock is not None
    source = open_source(f"ble:{NAME}", SourceOptions(clock=strap.clock))
    strap.scan_error = BleakDBusError("org.bluez.Error.NotReady", [])
    seen: list[Notice] = []

    def reported(text: str) -> Callable[[], bool]:
        def there() -> bool:
            chunk = source.read(1000)
            seen.extend(chunk.notices if chunk else ())
            return any(text in notice.text for notice in seen)

        return there

    try:
        wait_for(reported("Bluetooth is off"), "the loss")
        strap.scan_error = None
        wait_for(reported("the strap is back"), "the strap")
    finally:
        source.close()
    with pytest.raises(SourceError, match="closed"):
        source.read(1)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (SourceOptions(fs_hz=250.0), "--fs 250 Hz, but the strap has 130 Hz; leave out --fs"),
        (SourceOptions(start_s=3.0), "leave out --start"),
    ],
)
def test_options_that_a_strap_does_not_have_are_refused(options: SourceOptions, text: str) -> None:
    with pytest.raises(SourceError, match=text):
        open_source(f"ble:{NAME}", options)
