"""An emulated strap: its faults, its link, and the options that it refuses."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import numpy as np
import pytest

from monitor.emulator.air import Air
from monitor.emulator.emulate import run_emulator
from monitor.emulator.faults import parse_faults
from monitor.emulator.options import EmulateOptions
from monitor.emulator.plan import Fate
from monitor.emulator.samples import Resampled, Samples
from monitor.emulator.strap import Action, OutOfReach, Strap
from monitor.emulator.strap_models import GenericStrap, PolarStrap
from monitor.errors import ConfigError, SourceError
from monitor.sources import SourceOptions, open_source
from monitor.sources.ble import polar
from monitor.sources.ble.link import Lines, Message, line_of

FRAME_S = PolarStrap.n / PolarStrap.fs_hz


def strap_of(faults: str = "", seed: int = 3, seconds: int = 120) -> Strap:
    strap = Strap(
        open_source(f"sim:sinus={seconds}", SourceOptions(fs_hz=130.0)), PolarStrap(), parse_faults(faults), seed=seed
    )
    strap.model.running = True
    return strap


FAULTS = "drop=5%,garble=5%,late=5%,twice=5%,leadsoff@9s for 5s,hiccup@20s for 3s,noise@30s for 2s,clock@40s=7"


def test_the_output_does_not_depend_on_the_steps_of_time() -> None:
    whole = strap_of(FAULTS).advance(60.0)
    strap, pieces = strap_of(FAULTS), list[Action]()
    for until_s in [*np.arange(0, 60.0, 0.17).tolist(), 60.0]:
        pieces += strap.advance(until_s)
    assert pieces == whole
    assert strap_of(FAULTS, seed=4).advance(60.0) != whole


def test_the_counts_add_up() -> None:
    strap = strap_of("drop=20%,late=10%,twice=10%,unplug@5s for 4s,stall@20s for 3s")
    assert OutOfReach() in strap.advance(8.0)
    assert not strap.model.running
    strap.model.running = True  # connected again
    strap.advance(1e4)
    counts = strap.tally()
    assert counts["taken"] == int(120 / FRAME_S)
    assert counts["taken"] == sum(n for name, n in counts.items() if name != "taken")
    assert min(counts[name] for name in ("dropped", "late", "twice", "unplugged", "stalled")) > 0


def test_a_strap_that_was_not_started_loses_what_it_measures() -> None:
    strap = strap_of()
    strap.model.running = False
    assert strap.advance(10.0) == []
    assert strap.fates[Fate.STOPPED] == strap.index > 10


def test_a_record_of_another_rate_is_resampled() -> None:
    def source(fs_hz: float) -> Samples:
        return Samples(open_source("sim:sinus=10;noise=0", SourceOptions(fs_hz=fs_hz)))

    direct, resampled = source(130.0).take(1300), Resampled(source(360.0), 360.0, 130.0)
    pieces = np.concatenate([resampled.take(n) for n in (0, 1, 72, 500, 900)])
    assert abs(pieces.size - 1300) <= 1
    n = min(pieces.size, 1300)
    assert np.abs(pieces[:n] - direct[:n]).max() < 0.01 * np.ptp(direct)


def test_a_peer_that_is_no_monitor_is_disconnected_and_others_are_served() -> None:
    air = Air(strap_of(), ("127.0.0.1", 0), clock=lambda: 0.0)
    try:
        peers = [socket.create_connection(air.at, timeout=5) for _ in range(6)]
        garbage = (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 70_000, line_of(Message("read", id=1, uuid="2a19")), b"{}\n")
        for peer, data in zip(peers, garbage, strict=False):
            peer.sendall(data)
        peers[4].sendall(line_of(Message("connect")))
        got = Lines()
        messages = list[Message]()
        for _ in range(200):
            air.step()
            air.wait(0.01)
            if air._connected is not None and len(air._peers) == 2:
                break
        messages += got.feed(peers[4].recv(65_536))
        assert [message.kind for message in messages] == ["services"]
        assert polar.PMD_SERVICE in messages[0].services
        peers[5].sendall(line_of(Message("connect")))  # a second one
        for _ in range(200):
            air.step()
            air.wait(0.01)
            if len(air._peers) == 1:
                break
        assert peers[5].recv(1) == b""
        for peer in peers:
            peer.close()
    finally:
        air.close()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (EmulateOptions(form="polar", speed=2.0), "--speed 2: a strap sends in real time"),
        (EmulateOptions(form="polar", link=Path("here")), "a strap has no serial port; leave out --link"),
        (EmulateOptions(form="polar", baud=9600), "leave out --link and --baud"),
        (EmulateOptions(form="polar", port="/dev/ttyUSB0"), "--port /dev/ttyUSB0: a strap is played on this machine"),
        (EmulateOptions(form="polar", port="0.0.0.0:7000"), "give 127.0.0.1:PORT"),
        (EmulateOptions(form="polar", port="example.org:7000"), "give 127.0.0.1:PORT"),
        (EmulateOptions(form="polar", fs_hz=250.0), "--fs 250: such a strap has 130 Hz; leave out --fs"),
        (EmulateOptions(form="movesense", fs_hz=333.0), "--fs 333: a Movesense is played with 125, 200, 250, 500 Hz"),
        (EmulateOptions(form="polar", faults="banner@3s"), "banner: --format polar is a strap"),
        (EmulateOptions(form="lines", faults="late=3%"), "late: --format lines is a serial device; straps only: late"),
        (EmulateOptions(form="lines", faults="clock@3s=5"), "clock: --format lines is a serial device"),
        (EmulateOptions(form="polar", faults="battery@3s=300"), "'battery@3s=300': give 0 to 255"),
        (EmulateOptions(form="polar", faults="twice=101%"), "'twice=101%': give 0% to 100%"),
        (EmulateOptions(form="polar", source="-"), "--source -"),
        (EmulateOptions(form="h10"), "--format h10: unknown; choose one of lines, "),
    ],
)
def test_unusable_options_are_refused_in_one_line(options: EmulateOptions, error: str) -> None:
    with pytest.raises((ConfigError, SourceError)) as refused:
        run_emulator(options, print, lambda: True, lambda: 0.0)
    assert error in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 320  # the longest lists all formats


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SourceError, match=rf"--port {port}: .*; give another port, or 0 for a free one"):
            run_emulator(EmulateOptions(form="polar", port=port), print, lambda: True, lambda: 0.0)


@pytest.mark.parametrize(
    ("form", "end"), [("polar", ""), ("movesense", ""), ("ble", f"{GenericStrap().query}' --fs 250 --unit uV")]
)
def test_the_command_to_watch_the_strap_is_printed(form: str, end: str) -> None:
    lines: list[str] = []
    assert run_emulator(EmulateOptions(form=form, as_json=True), lines.append, lambda: True, lambda: 0.0) == 0
    at = lines[0].partition(" at ")[2].partition(": ")[0]
    quote = "'" if end else ""
    assert lines[1] == f"watch it: ecg-monitor --source {quote}ble:@{at}{end}"
    counts = json.loads(lines[-1])
    assert (counts["taken"], counts["format"]) == (0, form)
