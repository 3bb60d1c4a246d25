"""Layouts that people have: samples, rate, unit and lead without a flag where the text states them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources import SourceOptions
from monitor.sources.tables.reader import TableReader

N = 1500
WAVE = [round(0.8 * math.sin(i / 9) + 0.3 * math.sin(i / 2.3), 4) for i in range(N)]


@dataclass
class Read:
    mv: NDArray[np.float64]
    fs_hz: float
    lead: str
    unit: str
    gaps: int
    bad: int


def read(text: str | bytes, piece: int = 1 << 20, live: bool = False, **options: object) -> Read:
    data = text if isinstance(text, bytes) else text.encode()
    reader = TableReader(SourceOptions(**options), "csv:x", live)  # type: ignore[arg-type]
    runs = []
    for at in range(0, len(data), piece):
        runs += reader.push(data[at : at + piece])
    runs += reader.finish()
    layout = reader.layout
    assert layout is not None
    end = gaps = 0
    for first, mv in runs:
        gaps += first - end
        end = first + mv.size
    return Read(
        np.concatenate([mv for _, mv in runs]),
        layout.fs_hz,
        layout.leads[0].lead,
        layout.unit,
        gaps,
        reader.take_bad()[0],
    )


def rows(line: Callable[[int, float], str]) -> str:
    return "".join(line(i, v) + "\n" for i, v in enumerate(WAVE))


def comma(text: str) -> str:
    return text.replace(".", ",")


def clock(i: int, fs_hz: int = 250, start_s: float = 0.0) -> tuple[int, int, float]:
    seconds = start_s + i / fs_hz
    return int(seconds // 3600) % 24, int(seconds // 60) % 60, seconds % 60


def iso(i: int, fs_hz: int = 250) -> str:
    return "2024-02-29T13:{:02d}:{:06.3f}".format(*clock(i, fs_hz)[1:])


KINDS: dict[str, tuple[str | bytes, str, str]] = {  # text, lead, unit; all at 250 Hz
    "preamble, decimal comma, unit in the preamble": (
        "Name,Test\nRecorded,2026-01-02\nSample Rate,250 hertz\n\n\nLead,Lead I\nUnit,µV\n\n"
        + rows(lambda i, v: comma(f"{v * 1000:.3f}")),
        "Lead I",
        "uV",
    ),
    "preamble with = and a header": (
        "fs = 250 Hz\nunit = uV\ntime,ECG\n" + rows(lambda i, v: f",{v * 1000:.1f}"),
        "ECG",
        "uV",
    ),
    "comments": ("# fs: 250\n# lead: V5\n# unit: mV\n" + rows(lambda i, v: f"{v}"), "V5", "mV"),
    "a sentence": (
        "// recorded at 250 Hz, notch filter 50 Hz\nMLII [mV]\n" + rows(lambda i, v: f"{v}"),
        "MLII",
        "mV",
    ),
    "sampling_rate;250": (
        "sampling_rate;250\nunit;uV\n\nEKG\n" + rows(lambda i, v: comma(f"{v * 1000:.1f}")),
        "EKG",
        "uV",
    ),
    "header in a comment": ("% time[ms] ECG[uV]\n" + rows(lambda i, v: f"{i * 4} {v * 1000:.1f}"), "ECG", "uV"),
    "LabChart": (
        "Interval=\t0.004 s\nChannelTitle=\tECG\tResp\nRange=\t10 mV\t1 V\nUnitName=\tmV\t*\n"
        + rows(lambda i, v: f"{i * 0.004:.3f}\t{v}\t{math.sin(i / 300):.3f}"),
        "ECG",
        "mV",
    ),
    "ms per sample": ("rec.acq\n4 msec/sample\n1 channels\nECG\n" + rows(lambda i, v: f"{v}"), "ECG", "mV"),
    "us": ("timestamp,ecg_mV\n" + rows(lambda i, v: f"{6034140 + 4000 * i},{v}"), "ecg", "mV"),
    "ns and a host time": (
        "Phone timestamp;sensor timestamp [ns];ecg [uV]\n"
        + rows(lambda i, v: f"{iso(i)};{599616050941733632 + 4_000_000 * i};{v * 1000:.1f}"),
        "ecg",
        "uV",
    ),
    "epoch ms": ("t,ecg\n" + rows(lambda i, v: f"{1_700_000_000_000 + 4 * i},{v}"), "ecg", "mV"),
    "epoch s, headerless": (rows(lambda i, v: f"{1_700_000_000 + 0.004 * i:.3f},{v}"), "ECG", "mV"),
    "time and ECG, headerless": (rows(lambda i, v: f"{0.004 * i:.3f} {v}"), "ECG", "mV"),
    "index, time, ECG": (",time,ECG\n" + rows(lambda i, v: f"{i},{i * 0.004:.3f},{v}"), "ECG", "mV"),
    "numbered channel": ("Time (s),Channel 1\n" + rows(lambda i, v: f"{i * 0.004:.3f},{v}"), "Channel 1", "mV"),
    "quoted decimal commas": (
        '"Zeit (s)","EKG (mV)"\n' + rows(lambda i, v: f'"{comma(f"{i * 0.004:.3f}")}","{comma(str(v))}"'),
        "EKG",
        "mV",
    ),
    "quoted text": ("time,comment,ecg_mV\n" + rows(lambda i, v: f'{i * 0.004:.3f},"ok, ""so""",{v}'), "ecg", "mV"),
    "physiobank": (
        "'Elapsed time','MLII'\n'hh:mm:ss.mmm','mV'\n" + rows(lambda i, v: "'{}:{:06.3f}',{}".format(*clock(i)[1:], v)),
        "MLII",
        "mV",
    ),
    "physiobank, absolute": (
        "'Time and date','MLII'\n'hh:mm:ss.mmm dd/mm/yyyy','mV'\n"
        + rows(lambda i, v: "'[{:02d}:{:02d}:{:06.3f} 02/01/2024]',{}".format(*clock(i), v)),
        "MLII",
        "mV",
    ),
    "ISO with zone": ("datetime,ecg\n" + rows(lambda i, v: f"{iso(i)}+01:00,{v}"), "ecg", "mV"),
    "ISO with Z and decimal comma": (
        "datetime;ecg\n" + rows(lambda i, v: f"{comma(iso(i))}Z;{comma(str(v))}"),
        "ecg",
        "mV",
    ),
    "date and clock": (
        "Date,Time,ECG\n" + rows(lambda i, v: "29/02/2024,{:02d}:{:02d}:{:06.3f},{}".format(*clock(i), v)),
        "ECG",
        "mV",
    ),
    "over midnight": (
        "time,ECG\n" + rows(lambda i, v: "{:02d}:{:02d}:{:06.3f},{}".format(*clock(i, start_s=86_397.0), v)),
        "ECG",
        "mV",
    ),
    "US date over midnight": (
        "time,ECG\n"
        + rows(
            lambda i, v: (
                f"2/3/2024 11:59:{57 + i / 250:06.3f} PM,{v}"
                if i < 750
                else f"2/4/2024 12:00:{(i - 750) / 250:06.3f} AM,{v}"
            )
        ),
        "ECG",
        "mV",
    ),
    "sep line, unit row, trailing tab": (
        '"sep=\t"\nS_Timestamp_Unix_CAL\tS_ECG_LL-RA_24BIT_CAL\nms\tmV\n'
        + rows(lambda i, v: f"{1600000000000 + 4 * i}.0\t{v}\t"),
        "S_ECG_LL-RA_24BIT_CAL",
        "mV",
    ),
    "three header rows": (
        "Time\tECG\nCAL\tCAL\nms\tuV\n" + rows(lambda i, v: f"{4 * i}\t{v * 1000:.1f}"),
        "ECG",
        "uV",
    ),
    "RESP first": (
        "time,RESP,ECG\n" + rows(lambda i, v: f"{i * 0.004:.3f},{math.sin(i / 300):.4f},{v}"),
        "ECG",
        "mV",
    ),
    "a counter that starts again": (
        "%Sample Rate = 250 Hz\nSample Index, EXG Channel 0, Accel X\n"
        + rows(lambda i, v: f"{i % 256}, {v:.4f}, 0.04"),
        "EXG Channel 0",
        "mV",
    ),
    "UTF-16 with BOM": (
        ("Zeit [s];EKG [mV]\r\n" + rows(lambda i, v: comma(f"{i * 0.004:.3f};{v}"))).encode("utf-16"),
        "EKG",
        "mV",
    ),
    "UTF-16 LE without": (
        ("Zeit [s];EKG [µV]\n" + rows(lambda i, v: f"{i * 0.004:.3f};{v * 1000:.1f}")).encode("utf-16-le"),
        "EKG",
        "uV",
    ),
    "UTF-16 BE without": (
        ("t [s];EKG [mV]\n" + rows(lambda i, v: f"{i * 0.004:.3f};{v}")).encode("utf-16-be"),
        "EKG",
        "mV",
    ),
    "cp1252": (
        ("Zeit [s];Ableitung II [µV]\n" + rows(lambda i, v: f"{i * 0.004:.3f};{v * 1000:.1f}")).encode("cp1252"),
        "Ableitung II",
        "uV",
    ),
    "CR alone": (("ms,ecg\n" + rows(lambda i, v: f"{4 * i},{v}")).replace("\n", "\r"), "ecg", "mV"),
    "empty lines between": (("ms,ecg\n" + rows(lambda i, v: f"{4 * i},{v}")).replace("\n", "\n\n"), "ecg", "mV"),
    "NUL padding": (("ms,ecg\n" + rows(lambda i, v: f"{4 * i},{v}")).encode() + bytes(5000), "ecg", "mV"),
    "blanks": ("  time    ecg\n" + rows(lambda i, v: f"  {i * 0.004:8.3f}   {v:9.4f}"), "ecg", "mV"),
    "pipes": ("time|ecg\n" + rows(lambda i, v: f"{i * 0.004:.3f}|{v}"), "ecg", "mV"),
    "volts": ("Time [s],Voltage [V]\n" + rows(lambda i, v: f"{i * 0.004:.3f},{v / 1000:.7f}"), "Voltage", "V"),
    "names of two words between blanks": (
        "Time (s) Channel 1 (uV)\n" + rows(lambda i, v: f"{i * 0.004:.3f} {v * 1000:.1f}"),
        "Channel 1",
        "uV",
    ),
    "a unit in brackets ends each name": (
        "Time [s] ECG lead II [uV]\n" + rows(lambda i, v: f"{i * 0.004:.3f} {v * 1000:.1f}"),
        "ECG lead II",
        "uV",
    ),
    "names that cannot be divided": (
        "Elapsed time ECG signal uV\n" + rows(lambda i, v: f"{i * 0.004:.3f} {v * 1000:.1f}"),
        "ECG",
        "uV",
    ),
    "a sentence with the unit": (
        "# all values in uV, range +-5 mV\ntime,ecg\n" + rows(lambda i, v: f"{i * 0.004:.3f},{v * 1000:.1f}"),
        "ecg",
        "uV",
    ),
    "minutes": ("min,CH1,\n" + rows(lambda i, v: f"{i * 0.004 / 60:.8f},{v},"), "CH1", "mV"),
}


@pytest.mark.parametrize("live", [False, True], ids=["file", "stream"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_layout_is_read_without_a_flag(kind: str, live: bool) -> None:
    text, lead, unit = KINDS[kind]
    found = read(text, live=live)
    assert (found.fs_hz, found.lead, found.unit) == (250, lead, unit)
    np.testing.assert_allclose(found.mv, WAVE, atol=1e-6)
    assert (found.gaps, found.bad) == (0, 0)


@pytest.mark.parametrize(
    "kind", ["LabChart", "physiobank", "UTF-16 LE without", "CR alone", "ns and a host time", "comments"]
)
@pytest.mark.parametrize("live", [False, True], ids=["file", "stream"])
@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_the_cut_makes_no_difference(kind: str, live: bool, piece: int) -> None:
    text = KINDS[kind][0]
    whole, cut = read(text, live=live), read(text, piece, live)
    np.testing.assert_array_equal(whole.mv, cut.mv)
    assert (whole.fs_hz, whole.lead, whole.unit, whole.gaps) == (cut.fs_hz, cut.lead, cut.unit, cut.gaps)


STAMPS = np.arange(N) / 250.0


def stamped(stamps: NDArray[np.float64], keep: NDArray[np.bool_] | None = None) -> str:
    kept = np.ones(N, bool) if keep is None else keep
    return "time [s],ecg\n" + "".join(f"{t:.6f},{v}\n" for t, v, k in zip(stamps, WAVE, kept, strict=True) if k)


def test_late_stamps_are_no_loss() -> None:
    dice = np.random.default_rng(1)
    one_late = STAMPS + 0.004 * (dice.random(N) < 0.04)
    jitter = np.maximum.accumulate(STAMPS + dice.exponential(0.006, N))
    packets = STAMPS[np.arange(N) // 73 * 73] + 17.0
    within = (np.arange(N) + 30) // 73 * 73 / 250
    for stamps in (one_late, jitter, packets, within):
        found = read(stamped(stamps))
        assert found.fs_hz == pytest.approx(250, rel=1e-3)
        assert (found.gaps, found.mv.size) == (0, N)


@pytest.mark.parametrize("lost", [1, 4, 12, 300])
@pytest.mark.parametrize("jitter_s", [0.0, 0.003])
def test_a_loss_is_a_gap_of_its_length(lost: int, jitter_s: float) -> None:
    if jitter_s and lost < 12:
        return  # under the jitter a loss cannot be distinguished
    keep = np.ones(N, bool)
    keep[700 : 700 + lost] = False
    stamps = STAMPS + np.random.default_rng(2).exponential(jitter_s, N) if jitter_s else STAMPS
    found = read(stamped(np.maximum.accumulate(stamps), keep))
    assert found.fs_hz == pytest.approx(250, rel=2e-3)
    assert found.gaps == pytest.approx(lost, abs=2 if jitter_s else 0)


def test_losses_that_repeat_are_gaps() -> None:
    keep = np.arange(N) % 50 >= 4
    found = read(stamped(STAMPS, keep))
    assert found.fs_hz == 250
    assert found.gaps == 4 * (N // 50 - 1)


def test_the_given_rate_wins() -> None:
    drifted = read(stamped(STAMPS * 1.02), fs_hz=250)
    assert (drifted.fs_hz, drifted.gaps, drifted.mv.size) == (250, 0, N)
    far = TableReader(SourceOptions(fs_hz=500), "csv:x", live=False)
    far.push(stamped(STAMPS).encode())
    far.finish()
    assert far.layout is not None
    assert (far.layout.fs_hz, far.layout.time) == (500, None)
    assert "not used" in far.layout.notice


COUNTS = "".join(f"{round(512 + 100 * v)}\n" for v in WAVE)


def test_counts_are_refused_and_the_named_flags_mend_it() -> None:
    with pytest.raises(SourceError, match="--adc-bits 10 --vref 5 --gain 1100"):
        read(COUNTS, fs_hz=250)
    scaled = read(COUNTS, fs_hz=250, adc_bits=10, vref=5.0, gain=1100.0)
    assert scaled.unit == "adc"
    np.testing.assert_allclose(scaled.mv, (np.round(512 + 100 * np.array(WAVE)) - 512) * 5000 / 1024 / 1100)
    assert read(COUNTS, fs_hz=250, unit="uV").unit == "uV"
    assert read("ECG [uV]\n" + COUNTS, fs_hz=250).unit == "uV"


@pytest.mark.parametrize(
    ("text", "flag", "options"),
    [
        (rows(lambda i, v: f"{v},{v + 0.1:.4f}"), "--column", {"column": 1, "fs_hz": 250}),
        (rows(lambda i, v: f"{v}"), "--fs 250", {"fs_hz": 250}),
        ("time,ecg\n" + rows(lambda i, v: f"{i},{v}"), "--fs 250", {"fs_hz": 250}),
        (rows(lambda i, v: f"{abs(round(v * 5))},{abs(round(v * 4))}"), "--column 0", {"column": 0, "fs_hz": 250}),
        ("RESP,PPG\n" + rows(lambda i, v: f"{v},{v}"), "--column", {"column": "PPG", "fs_hz": 250}),
    ],
)
def test_the_remedy_of_a_refusal_works(text: str, flag: str, options: dict[str, object]) -> None:
    with pytest.raises(SourceError, match=flag) as refused:
        read(text, **({"fs_hz": 250} if flag == "--column" else {}))
    assert "\n" not in str(refused.value)
    assert read(text, **options).fs_hz == 250


@pytest.mark.parametrize(
    "stated", ["1 LSB = 2.5 uV", "scale: 2.5 uV/LSB", "# resolution,0.0025 mV", "gain: 400 adu/mV", "2500 nV per count"]
)
@pytest.mark.parametrize("label", ["ecg", "ecg [counts]"])
def test_a_stated_scale_of_counts_is_used(stated: str, label: str) -> None:
    found = read(f"fs: 250\n{stated}\n{label}\n" + rows(lambda i, v: f"{round(400 * v)}"))
    assert found.unit == "adc"
    np.testing.assert_allclose(found.mv, np.round(400 * np.array(WAVE)) / 400)
    text = f"fs: 250\n{stated}\n" + rows(lambda i, v: f"{v}")
    np.testing.assert_allclose(read(text).mv, WAVE, err_msg="numbers with decimals are no counts")


def test_counts_below_a_sentence_with_mv_are_refused() -> None:
    with pytest.raises(SourceError, match="look like ADC counts"):
        read("# the sensor has a range in mV\n" + COUNTS, fs_hz=250)


def test_a_refusal_for_the_scale_names_the_missing_rate_too() -> None:
    """Else its remedy is refused again."""
    with pytest.raises(SourceError) as refused:
        read(COUNTS)
    assert "--adc-bits 10 --vref 5 --gain 1100" in str(refused.value)
    assert "--fs 250" in str(refused.value)
    assert read(COUNTS, fs_hz=250, adc_bits=10, vref=5.0, gain=1100.0).unit == "adc"


def test_two_units_above_the_numbers_are_refused() -> None:
    text = "# EMG in mV, ECG in uV\n" + rows(lambda i, v: f"{v * 1000:.1f}")
    with pytest.raises(SourceError, match="name mV and uV; give the ECG's unit"):
        read(text, fs_hz=250)
    np.testing.assert_allclose(read(text, fs_hz=250, unit="uV").mv, WAVE, atol=1e-6)


@pytest.mark.parametrize("footer", ["Total,7500", '"Mean:",0.3', "Mittelwert,0.3\nSumme,7500"])
@pytest.mark.parametrize(
    "head", ["time,ecg\n{i:.3f},{v}\n", "n,ecg\n{n},{v}\n", "clock,ecg\n13:00:{i:06.3f},{v}\n"], ids=lambda h: h[:5]
)
def test_a_footer_is_no_value(head: str, footer: str) -> None:
    header, row = head.split("\n", 1)
    text = header + "\n" + "".join(row.format(i=i / 250, n=i, v=v) for i, v in enumerate(WAVE)) + footer
    found = read(text, fs_hz=250)
    np.testing.assert_allclose(found.mv[:N], WAVE, atol=1e-6)
    assert np.isnan(found.mv[N:]).all()
    assert found.bad == footer.count("\n") + 1


def test_unreadable_rows_are_missing_samples() -> None:
    lines = [f"{v}" for v in WAVE]
    lines[100], lines[200], lines[300], lines[400] = "0.1éx", "", "NaN", "!"
    found = read("ecg\n" + "\n".join(lines) + "\n", fs_hz=250)
    assert np.flatnonzero(np.isnan(found.mv)).tolist() == [100, 200, 300, 400]
    assert found.bad == 3


def test_names_before_numbers_and_a_header_in_json() -> None:
    found = read(rows(lambda i, v: f"ECG:{v},RESP:{math.sin(i / 300):.3f}"), fs_hz=250)
    assert (found.lead, found.bad) == ("ECG", 0)
    np.testing.assert_allclose(found.mv, WAVE, atol=1e-6)
    header = '# {"dev": {"label": ["A1"], "sampling rate": 250, "column": ["nSeq", "A1"]}}\n# EndOfHeader\n'
    found = read(header + rows(lambda i, v: f"{i % 16}\t{round(512 + 100 * v)}"), adc_bits=10, vref=3.3, gain=1100.0)
    assert (found.fs_hz, found.lead, found.unit) == (250, "A1", "adc")


def test_a_cell_with_line_ends_is_one_cell() -> None:
    notes = ["a\nb" if i % 100 == 7 else "-" for i in range(N)]
    found = read("time,note,ecg\n" + rows(lambda i, v: f'{i * 0.004:.3f},"{notes[i]}",{v}'))
    np.testing.assert_allclose(found.mv, WAVE, atol=1e-6)
    assert (found.fs_hz, found.bad) == (250, 0)
