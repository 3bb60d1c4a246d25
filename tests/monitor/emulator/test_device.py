"""The emulated device: bytes of each format, faults, counts, commands."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.emulator.console import ChordsConsole
from monitor.emulator.device import BANNER, Action, Device, FaultReport, Plug, Unplug
from monitor.emulator.encoder import NO_SCALE, Scale, make_encoder
from monitor.emulator.faults import parse_faults
from monitor.emulator.plan import Fate
from monitor.emulator.samples import Samples
from monitor.errors import ConfigError, SourceError
from monitor.sources import Chunk, EndOfStream, Source, SourceOptions, open_source
from monitor.sources.serial.cyton import Cyton
from monitor.sources.serial.formats import FORMATS, make_decoder

FORMAT = pytest.mark.parametrize("form", FORMATS)
ALL_FAULTS = (
    "drop=2%,garble=2%,leadsoff@1s for 1s,unplug@3s for 0.7s,stall@5s for 0.3s,banner@6s,hiccup@8s for 0.9s,"
    "noise@10s for 0.4s,drift=1%,rate@11s=2"
)
PATIENT = "sim:sinus=14"


def patient(duration_s: float = 14.0) -> Source:
    return open_source(PATIENT, SourceOptions(duration_s=duration_s, seed=1))


def signal(duration_s: float = 14.0) -> NDArray[np.float64]:
    return Samples(patient(duration_s)).take(10**9)


def started(form: str, faults: str = "", duration_s: float = 14.0, seed: int = 0, scale: Scale = NO_SCALE) -> Device:
    device = Device(patient(duration_s), form, parse_faults(faults), seed=seed, scale=scale)
    assert device.receive(b"START\n") == []
    assert device.running
    return device


def sent(actions: list[Action]) -> bytes:
    return b"".join(action for action in actions if isinstance(action, bytes))


def received(form: str, data: bytes, scale: Scale = NO_SCALE) -> NDArray[np.float64]:
    """Decode with the options that the encoder names; the decoder drops the first line."""
    reading = make_encoder(form, scale).reading
    given = dict(zip(reading[::2], reading[1::2], strict=True))
    options = SourceOptions(
        adc_bits=int(given["--adc-bits"]) if given else None,
        vref=float(given["--vref"]) if given else None,
        gain=float(given["--gain"]) if given else None,
    )
    return make_decoder(form, options, "serial").feed(b"\n" + data if form == "lines" else data).mv


def joined(actions: list[Action]) -> list[Action]:
    """Actions with neighbouring bytes joined."""
    result: list[Action] = []
    for is_bytes, group in itertools.groupby(actions, lambda action: isinstance(action, bytes)):
        found = list(group)
        result += [sent(found)] if is_bytes else found
    return result


@FORMAT
def test_the_monitor_reads_what_a_device_sends(form: str) -> None:
    device = started(form)
    data = sent(device.advance(1e9))
    expected = make_encoder(form).readable(signal())
    got = received(form, data)
    assert np.array_equal(got, expected)
    assert np.abs(got - signal()).max() < 0.005  # mV
    assert device.ended
    assert device.tally()["taken"] == device.fates[Fate.INTACT] == expected.size


@pytest.mark.parametrize(
    ("form", "scale"),
    [("lines", Scale(10, 5.0, 1100.0)), ("chords", Scale(10, 5.0, 1100.0)), ("cyton", Scale(None, None, 12.0))],
)
def test_another_scale_is_read_with_its_options(form: str, scale: Scale) -> None:
    data = sent(started(form, scale=scale).advance(1e9))
    got = received(form, data, scale)
    assert np.array_equal(got, make_encoder(form, scale).readable(signal()))
    assert np.abs(got - signal()).max() < 0.005


@settings(max_examples=25)
@given(st.sampled_from(list(FORMATS)), st.lists(st.floats(0.0, 16.0), max_size=12).map(sorted), st.integers(0, 2))
def test_actions_do_not_depend_on_the_time_steps(form: str, cuts: list[float], seed: int) -> None:
    whole = started(form, ALL_FAULTS, seed=seed)
    pieces = started(form, ALL_FAULTS, seed=seed)
    actions = [action for until_s in [*cuts, 100.0] for action in pieces.advance(until_s)]
    assert joined(actions) == joined(whole.advance(100.0))
    assert pieces.tally() == whole.tally()
    assert pieces.ended


@FORMAT
def test_every_sample_has_one_fate(form: str) -> None:
    device = started(form, ALL_FAULTS)
    actions = device.advance(100.0)
    tally = device.tally()
    assert tally["taken"] == 14 * 250 == sum(device.fates.values())
    assert tally["bytes_out"] == len(sent(actions))
    fates = device.plan.fates(0, tally["taken"])
    if form == "chords":  # waits for START after the reset
        assert tally["stopped"] > 0
    else:
        assert [device.fates[fate] for fate in Fate] == np.bincount(fates, minlength=len(Fate)).tolist()
        assert all(device.fates[fate] for fate in Fate if fate < Fate.STOPPED)


def test_dropped_samples_are_missing_in_the_counter() -> None:
    device = started("cyton", "drop=10%")
    parsed = Cyton().feed(sent(device.advance(100.0)))
    assert parsed.skipped == 0
    kept = np.flatnonzero(device.plan.fates(0, device.sample) == Fate.INTACT)
    assert np.array_equal(parsed.counters, kept % 256)
    assert device.fates[Fate.DROPPED] == device.sample - kept.size > 100


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "raw16"])
def test_a_reader_is_in_step_within_two_packets_after_garbage(form: str) -> None:
    device = started(form, "garble=3%", seed=5)
    data = sent(device.advance(100.0))
    got = received(form, data)
    fates = device.plan.fates(0, device.sample)
    harmed = np.flatnonzero(fates == Fate.GARBLED)
    exposed = np.unique(np.concatenate([harmed + i for i in range(3)]))
    safe = np.delete(make_encoder(form).readable(signal()), exposed[exposed < device.sample])
    rest = iter(got.tolist())
    assert all(value in rest for value in safe.tolist()), "an intact sample is missing or out of order"
    assert harmed.size > 50


def counters(form: str, data: bytes) -> list[int]:
    parser = FORMATS[form].parser
    assert parser is not None
    found = parser(0).feed(data).counters
    assert found is not None
    return found.tolist()


@pytest.mark.parametrize("fault", ["unplug@3s for 1s", "stall@3s for 1.5s", "banner@3s", "noise@3s for 1s"])
def test_the_counter_after_each_fault(fault: str) -> None:
    device = started("cyton", fault)
    before = counters("cyton", sent(device.advance(3.0)))
    (span,) = device.plan.spans
    assert before[-1] == (span.first_sample - 1) % 256
    during = sent(device.advance(span.fault.end_s))
    after = counters("cyton", sent(device.advance(6.0)))
    first = {"unplug": 0, "banner": 0, "stall": before[-1] + 1, "noise": span.end_sample % 256}
    assert after[0] == first[span.fault.kind]
    if fault.startswith("noise"):
        assert len(during) == 33 * 250
        assert Cyton().feed(during).samples.size == 0
    elif fault.startswith("stall"):
        assert during == b""
    else:
        assert len(during) == 16, "half a packet, then nothing"


@pytest.mark.parametrize(("form", "fault", "end"), [("cyton", "unplug@3s for 1s", 1000), ("lines", "banner@3s", 1125)])
def test_the_signal_continues_without_power(form: str, fault: str, end: int) -> None:
    got = received(form, sent(started(form, fault).advance(100.0)))
    assert np.array_equal(got, np.delete(make_encoder(form).readable(signal()), slice(750, end)))


def test_a_hiccup_is_one_late_burst() -> None:
    plain, late = started("cyton"), started("cyton", "hiccup@3s for 2s")
    assert sent(late.advance(3.0)) == sent(plain.advance(3.0))
    assert sent(late.advance(5.0)) == b""
    assert sent(late.advance(5.01)) == sent(plain.advance(5.01))
    assert sent(late.advance(100.0)) == sent(plain.advance(100.0))
    assert late.tally() == plain.tally()


def test_a_hiccup_at_the_end_loses_nothing() -> None:
    device = started("cyton", "hiccup@13s for 9s")
    assert sent(device.advance(100.0)) == sent(started("cyton").advance(100.0))


def test_faults_are_reported() -> None:
    actions = started("lines", "unplug@3s for 1s,leadsoff@5s for 2s,rate@8s=2").advance(100.0)
    assert [type(action) for action in actions if isinstance(action, Plug | Unplug)] == [Unplug, Plug]
    assert [action for action in actions if isinstance(action, FaultReport)] == [
        FaultReport(3.0, 750, "unplug@3s for 1s begins"),
        FaultReport(4.0, 1000, "unplug@3s for 1s ends"),
        FaultReport(5.0, 1250, "leadsoff@5s for 2s begins"),
        FaultReport(7.0, 1750, "leadsoff@5s for 2s ends"),
        FaultReport(8.0, 2000, "rate x2"),
    ]


@FORMAT
def test_the_monitor_reads_leads_off(form: str) -> None:
    device = started(form, "leadsoff@3s for 2s")
    data = sent(device.advance(100.0))
    got = received(form, data)
    off = np.flatnonzero(np.isnan(got))
    assert got.size == 14 * 250
    assert off[-1] == 1249
    assert off[0] - 750 in range(8)  # a rail counts as leads off after some samples
    assert off.size == 1250 - off[0]
    assert device.leads_off == 500


def test_a_reset_is_silence_then_a_banner() -> None:
    device = started("lines", "banner@3s")
    device.advance(3.0)
    half = sent(device.advance(4.5))
    assert 0 < len(half) < 10
    assert b"\n" not in half
    assert sent(device.advance(4.6)).startswith(BANNER)
    assert len(BANNER) % 2 == 0, "raw16 would be out of step for good"


@pytest.mark.parametrize("asked", [[b"WHORU\n"], [b"who", b"RU\r\n"], [b"w", b"horu\n"]])
def test_a_chords_board_answers_with_its_name(asked: list[bytes]) -> None:
    device = Device(patient(), "chords")
    assert sent([action for piece in asked for action in device.receive(piece)]) == b"UNO-R4\r\n"
    assert device.advance(1.0) == []
    assert device.fates == {Fate.STOPPED: 250}


def test_a_chords_board_sends_between_start_and_any_byte() -> None:
    device = Device(patient(), "chords")
    device.receive(b"START\n")
    assert counters("chords", sent(device.advance(1.0))) == list(range(250))
    device.receive(b"S")
    assert device.advance(2.0) == []
    assert sent(device.receive(b"TATUS\nSTART\r\n")) == b"STOPPED\r\n"
    assert counters("chords", sent(device.advance(3.0)))[:7] == [250, 251, 252, 253, 254, 255, 0]
    device.receive(b"STOP\n")
    assert device.advance(4.0) == []
    assert device.fates == {Fate.INTACT: 500, Fate.STOPPED: 500}


@pytest.mark.parametrize("fault", ["unplug@1s for 1s", "banner@1s"])
def test_a_chords_board_needs_start_after_a_loss_of_power(fault: str) -> None:
    device = started("chords", fault)
    device.advance(1.1)
    assert device.receive(b"START\n") == [], "without power"
    device.advance(3.0)
    assert not device.running
    device.receive(b"START\n")
    assert counters("chords", sent(device.advance(4.0))) == list(range(250))


@given(st.lists(st.sampled_from([b"START", b"STOP", b"WHORU", b"\n", b"\r\n", b"x", b""]), max_size=12), st.data())
def test_answers_do_not_depend_on_the_pieces(commands: list[bytes], data: st.DataObject) -> None:
    text = b"".join(commands)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    whole, pieces = ChordsConsole(), ChordsConsole()
    answers = b"".join(pieces.feed(text[a:b]) for a, b in itertools.pairwise([0, *cuts, len(text)]))
    assert answers == whole.feed(text)
    assert pieces.running == whole.running


class Gappy:
    """A source with empty chunks and gaps that keeps the largest `max_samples`."""

    name, lead, fs_hz, live, rails_mv, start_time = "gappy", "I", 250.0, False, None, None

    def __init__(self, *chunks: Chunk) -> None:
        self.chunks, self.total_samples, self.most = list(chunks), None, 0

    def read(self, max_samples: int) -> Chunk | None:
        self.most = max(self.most, max_samples)
        if not self.chunks:
            raise EndOfStream
        return self.chunks.pop(0)

    def close(self) -> None: ...


@given(st.lists(st.integers(1, 9), min_size=1, max_size=20))
def test_a_gap_of_the_source_is_leads_off(sizes: list[int]) -> None:
    source = Gappy(Chunk(100, np.arange(4.0)), Chunk(104, np.empty(0)), Chunk(110, np.arange(3.0)))
    samples = Samples(source)
    got = np.concatenate([samples.take(n) for n in [*sizes, 100]])
    nan = float("nan")
    assert np.array_equal(got, [0, 1, 2, 3, nan, nan, nan, nan, nan, nan, 0, 1, 2], equal_nan=True)


def test_a_long_gap_is_processed_in_pieces() -> None:
    source = Gappy(Chunk(0, np.arange(4.0)), Chunk(4 + 250 * 3600, np.arange(4.0)))
    device = Device(source, "raw16")
    assert device.advance(1.0)
    device.advance(3601.0)
    assert device.sample == 3601 * 250 - 242
    assert device.ended
    assert source.most <= 4096


def test_a_live_source_is_refused() -> None:
    source = Gappy()
    source.live = True
    with pytest.raises(SourceError, match="is a live source"):
        Device(source, "lines")


@pytest.mark.parametrize(
    ("form", "scale"),
    [
        ("morse", NO_SCALE),
        ("lines", Scale(10, None, None)),
        ("openview", Scale(None, None, 6.0)),
        ("cyton", Scale(None, -1.0, None)),
        ("raw16", Scale(18, None, None)),
        ("chords", Scale(None, None, float("inf"))),
    ],
)
def test_an_unusable_scale_is_refused_in_one_line(form: str, scale: Scale) -> None:
    with pytest.raises(ConfigError, match=f"--format {form}") as refused:
        make_encoder(form, scale)
    assert "\n" not in str(refused.value)
