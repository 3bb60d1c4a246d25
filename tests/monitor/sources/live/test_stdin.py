"""Standard input: real pipes and processes, valid and invalid rows."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import SourceError
from monitor.sources import Chunk, EndOfStream, SourceOptions, open_source
from monitor.sources.live.pipe_reader import READ_BYTES
from monitor.sources.live.stdin import StdinSource
from tests.monitor.commands.helpers import COMMAND, FREE_BUS, environment
from tests.monitor.sources.helpers import notices_of, read_chunks, traced, wait_for


class Pipe:
    """A pipe and the source that reads it."""

    def __init__(self, **options: object) -> None:
        self.fd, self._far = os.pipe()
        self.source = StdinSource(SourceOptions(**{"fs_hz": 250.0, **options}), "-", self.fd)  # type: ignore[arg-type]

    def write(self, text: str | bytes) -> None:
        os.write(self._far, text.encode() if isinstance(text, str) else text)

    def end(self) -> None:
        if self._far >= 0:
            os.close(self._far)
            self._far = -1

    def in_pieces(self, data: bytes, cuts: Sequence[int]) -> list[Chunk]:
        """Write pieces of these sizes, with a read after each, then the rest."""
        chunks: list[Chunk] = []
        for size in cuts:
            if data:
                self.write(data[:size])
                data = data[size:]
                if (chunk := self.source.read(10_000)) is not None:
                    chunks.append(chunk)
        return chunks + self.rest(data)

    def rest(self, text: str | bytes = b"") -> list[Chunk]:
        """Write `text` by a thread (a pipe holds 64 KiB), close the pipe, read to its end."""
        data = text.encode() if isinstance(text, str) else text

        def feed() -> None:
            view = memoryview(data)
            while view:
                view = view[os.write(self._far, view) :]
            self.end()

        writer = threading.Thread(target=feed)
        writer.start()
        chunks: list[Chunk] = []
        ended = False

        def drained() -> bool:
            nonlocal ended
            try:
                while (chunk := self.source.read(1000)) is not None:
                    assert chunk.samples.size <= 1000
                    chunks.append(chunk)
            except EndOfStream:
                ended = True
            return ended

        try:
            wait_for(drained, "the end of the pipe")
        finally:
            os.close(self.fd)  # a blocked writer gets a broken pipe
            self.fd = -1
            writer.join()
        return chunks

    def close(self) -> None:
        self.end()
        if self.fd >= 0:
            os.close(self.fd)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def signal_of(chunks: list[Chunk]) -> list[float]:
    position = 0
    for chunk in chunks:
        assert chunk.first_sample == position
        position += chunk.samples.size
    return np.concatenate([chunk.samples for chunk in chunks]).tolist() if chunks else []


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("0.5\n-0.25\n1\n", {}),
        ("0.5\r\n-0.25\r\n1", {}),
        ("\ufeff0.5\n-0.25\n1\n", {}),
        ("# by hand\n\nMLII\n0.5\n-0.25\n1\n", {}),
        ("ecg_uV\n500\n-250\n1000\n", {}),
        ("500\n-250\n1000\n", {"unit": "uV"}),
        ("50\n-25\n100\n", {"unit": "adc", "mv_per_unit": 0.01}),
        ("9,0.5\n9,-0.25\n9,1\n", {"column": 1}),
        ("a;EKG\n9;0,5\n9;-0,25\n9;1\n", {"column": "EKG"}),
        ("time,ecg\n0.000,0.5\n0.004,-0.25\n0.008,1\n", {}),
        ("'EKG [uV]'\n500\n-250\n1000\n", {}),
        ("9 0.5\n9 -0.25\n9 1\n", {"channel": 1}),
    ],
)
def test_layouts(text: str, options: dict[str, object]) -> None:
    chunks = Pipe(**options).rest(text)
    assert signal_of(chunks) == pytest.approx([0.5, -0.25, 1.0])
    assert notices_of(chunks, "bad_input") == []


def test_read_does_not_wait_for_the_writer(pipe: Pipe) -> None:
    assert pipe.source.live
    assert pipe.source.read(100) is None
    pipe.write("0.1\n0.2\n0.")
    chunk = pipe.source.read(1)
    assert chunk is not None
    assert chunk.samples.tolist() == [0.1]
    assert signal_of([chunk, pipe.source.read(100) or chunk]) == [0.1, 0.2]
    assert pipe.source.read(100) is None, "an incomplete row is no row"
    pipe.write("3\n")
    chunk = pipe.source.read(100)
    assert chunk is not None
    assert (chunk.first_sample, chunk.samples.tolist()) == (2, [0.3])
    pipe.end()
    with pytest.raises(EndOfStream):
        pipe.source.read(100)


def test_leads_off_and_bad_rows_are_nan(pipe: Pipe) -> None:
    chunks = pipe.rest("!\n!\n0.1\n!\nnan\ninf\n1e9\nabc\n\n0.2\n1_0\n0.3\n!")
    np.testing.assert_array_equal(signal_of(chunks), [np.nan, np.nan, 0.1, *[np.nan] * 6, 0.2, np.nan, 0.3, np.nan])
    notices = notices_of(chunks, "bad_input")
    assert sum(notice.count for notice in notices) == 6
    assert "'nan'" in notices[0].text


def both_leads(chunks: list[Chunk]) -> tuple[list[float], list[float]]:
    first = signal_of(chunks)
    seconds = [chunk.second for chunk in chunks if chunk.samples.size]
    assert all(second is not None for second in seconds)
    second = np.concatenate([second for second in seconds if second is not None]).tolist()
    assert len(second) == len(first)
    return first, second


@pytest.mark.parametrize(
    ("text", "options", "leads"),
    [
        ("0.5,9,2\n-0.25,9,3\n1,9,4\n", {"column": 0, "second": 2}, ("ECG 0", "ECG 2")),
        ("II [uV];n;V1 [uV]\n500;1;2000\n-250;2;3000\n1000;3;4000\n", {"column": "II", "second": "v1"}, ("II", "V1")),
        ("time,V1,II\n0.000,2,0.5\n0.004,3,-0.25\n0.008,4,1\n", {"channel": "II", "second": "V1"}, ("II", "V1")),
        ("0,5\t2\n-0,25\t3\n1,0\t4\n", {"column": 0, "second": 1}, ("ECG 0", "ECG 1")),
    ],
)
def test_two_leads(text: str, options: dict[str, object], leads: tuple[str, str]) -> None:
    pipe = Pipe(**options)
    chunks = pipe.rest(text)
    first, second = both_leads(chunks)
    assert first == pytest.approx([0.5, -0.25, 1.0])
    assert second == pytest.approx([2.0, 3.0, 4.0])
    assert (pipe.source.leads, pipe.source.lead) == (leads, ",".join(leads))
    assert notices_of(chunks, "bad_input") == []


def test_an_unreadable_value_blanks_its_lead_only() -> None:
    rows = "0.1,1\n0.2,x\n,3\n0.4\nabc\n!\n0.6,1e99\n0.7,8\n"
    chunks = Pipe(column=0, second=1).rest(rows)
    first, second = both_leads(chunks)
    np.testing.assert_array_equal(first, [0.1, 0.2, np.nan, 0.4, np.nan, np.nan, 0.6, 0.7])
    np.testing.assert_array_equal(second, [1, np.nan, 3, np.nan, np.nan, np.nan, np.nan, 8])
    notices = notices_of(chunks, "bad_input")
    assert sum(notice.count for notice in notices) == 5, "! is leads off"
    assert "'0.2,x'" in notices[0].text


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.lists(st.integers(1, 60), max_size=20), st.booleans())
def test_two_leads_are_those_of_each_alone_for_every_cut(garbage: bytes, cuts: list[int], timed: bool) -> None:
    stamp = "{:.3f},".format if timed else lambda _: "x,"
    rows = [f"{stamp(n / 250)}{n % 7 / 10},{n % 5 / 10}\n".encode() for n in range(40)]
    data = b"time,II,V1\n" + b"".join(rows[:30]) + garbage + b"\n" + b"".join(rows[30:])
    pipe = Pipe(channel="II", second="V1")
    chunks = pipe.in_pieces(data, cuts)

    def places(chunks: list[Chunk]) -> list[int]:
        return [chunk.first_sample + i for chunk in chunks for i in range(chunk.samples.size)]

    for lead, column in enumerate(("II", "V1")):
        alone = Pipe(channel=column).rest(data)
        assert places(alone) == places(chunks)
        expected = np.concatenate([chunk.samples for chunk in alone])
        leads = [(chunk.samples, chunk.second)[lead] for chunk in chunks if chunk.samples.size]
        np.testing.assert_array_equal(np.concatenate([part for part in leads if part is not None]), expected)


def test_two_leads_at_a_high_rate_are_decimated() -> None:
    near, far = os.pipe()
    kept = os.dup(0)
    os.dup2(near, 0)
    try:
        source = open_source("-", SourceOptions(column="0,1", fs_hz=2000.0))
        wave = np.sin(np.arange(4000) / 100)
        with os.fdopen(far, "w") as writer:
            writer.writelines(f"{mv:.6f},{-2 * mv:.6f}\n" for mv in wave[:2000])
        chunks = read_chunks(source, (100,))
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(near)
    assert source.fs_hz == 500.0
    assert source.leads == ("ECG 0", "ECG 1")  # type: ignore[attr-defined]
    first, second = both_leads(chunks)
    np.testing.assert_allclose(first[10:-10], wave[:2000:4][10:-10], atol=2e-3)
    np.testing.assert_allclose(second[10:-10], -2 * wave[:2000:4][10:-10], atol=4e-3)


@pytest.mark.parametrize(
    ("text", "wanted", "error"),
    [
        ("II,V1\n0.1,0.2\n0.1,0.3\n", ("II", "V9"), "-: no channel 'V9'; channels: 0 II (0.1 0.1), 1 V1 (0.2 0.3)"),
        (
            "II,V1\n0.1,0.2\n0.1,0.3\n",
            ("II", 0),
            "-: 'II' and 0 are one channel; give two different ones: 0 II (0.1 0.1), 1 V1 (0.2 0.3)",
        ),
        ("0.1\n0.2\n", (0, 1), "-: no channel '1'; channels: 0 (0.1 0.2)"),
        (
            "II [mV],V1 [uV]\n0.1,0.2\n0.1,0.3\n",
            ("II", "V1"),
            "-: it gives II in mV and V1 in uV; two leads need one unit, so read one, e.g. --channel II",
        ),
    ],
)
def test_two_leads_that_a_table_does_not_have_are_refused(text: str, wanted: tuple[object, object], error: str) -> None:
    with pytest.raises(SourceError) as refused:
        Pipe(column=wanted[0], second=wanted[1]).rest(text)
    assert str(refused.value) == error


def test_a_banner_is_no_sample(pipe: Pipe) -> None:
    assert signal_of(pipe.rest("Booting\nSensor ready\n0.1\n0.2\n")) == [0.1, 0.2]


def test_bytes_without_a_line_end_are_reported_and_not_kept(pipe: Pipe) -> None:
    data = b"0.1\n0.2\n" + b"7" * 10_000_000 + b"\n0.3\n"
    with traced() as memory:
        chunks = pipe.rest(data)
        assert memory()[1] < 2_000_000
    np.testing.assert_array_equal(signal_of(chunks), [0.1, 0.2, np.nan, 0.3])
    assert [n.text for n in notices_of(chunks, "bad_input") if "line end" in n.text] != []


def test_the_writer_waits_and_no_sample_is_lost(pipe: Pipe) -> None:
    n = 60_000
    values = [round(i % 997 / 1000, 3) for i in range(n)]
    chunks = pipe.rest("".join(f"{v}\n" for v in values))
    assert signal_of(chunks) == values
    assert len("0\n") * max(len(c.samples) for c in chunks) < READ_BYTES


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400), st.lists(st.integers(1, 60), max_size=20))
def test_samples_do_not_depend_on_the_pieces(garbage: bytes, cuts: list[int]) -> None:
    data = b"0.1\n0.2\n" + garbage + b"\n0.3\n"
    pipe = Pipe()
    chunks = pipe.in_pieces(data, cuts)
    samples = signal_of(chunks)
    np.testing.assert_array_equal(samples, signal_of(Pipe().rest(data)))
    assert samples[:2] == [0.1, 0.2]
    assert samples[-1] == 0.3


def test_duration_is_counted_in_samples() -> None:
    pipe = Pipe(duration_s=0.02)
    pipe.write("".join(f"0.{i}\n" for i in range(1, 10)))
    chunk = pipe.source.read(100)
    assert chunk is not None
    assert chunk.samples.tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]
    with pytest.raises(EndOfStream):
        pipe.source.read(100)
    pipe.close()


@pytest.mark.parametrize(
    ("text", "options", "error"),
    [
        ("", {}, "holds no number"),
        ("abc\ndef\n", {}, "holds no number"),
        ("1.5,2.5\n1.5,2.5\n", {}, "choose one with --column"),
        ("1,2\n3,4\n", {}, "decimal comma or two columns"),
        ("a,b\n1,2\n3,4\n", {"column": "c"}, "no channel 'c'; channels: 0 a"),
        ("0.1\n0.2\n", {"fs_hz": None}, "--fs 250"),
        ("", {"start_s": 3.0}, "leave out --start"),
        ("", {"unit": "adc"}, "--mv-per-unit"),
        ("", {"unit": "kV"}, "unknown unit 'kV'"),
        ("", {"duration_s": -1.0}, "duration"),
    ],
)
def test_unusable_input_is_refused_in_one_line(text: str, options: dict[str, object], error: str) -> None:
    with pytest.raises(SourceError, match=error) as refused:
        Pipe(**options).rest(text)
    assert "\n" not in str(refused.value)


def test_a_terminal_is_refused() -> None:
    far, near = os.openpty()
    try:
        with pytest.raises(SourceError, match="is a terminal"):
            StdinSource(SourceOptions(fs_hz=250), "-", near)
    finally:
        os.close(far)
        os.close(near)
    with pytest.raises(SourceError, match="cannot be read"):
        StdinSource(SourceOptions(fs_hz=250), "-", near)
    with pytest.raises(SourceError, match="csv:PATH"):
        open_source("-:file", SourceOptions(fs_hz=250))


WRITER = """
from monitor.sources import SourceOptions, open_source
chunk = open_source("sim:sinus=12", SourceOptions(fs_hz=250, duration_s=12)).read(3000)
print("millivolt", *(f"{v:.4f}" for v in chunk.samples), "oops", *["!"] * 500, sep=chr(10))
"""


@pytest.mark.slow
def test_the_command_reads_a_pipe() -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER], stdout=subprocess.PIPE) as writer:
        command = (*COMMAND, "--source", "-", "--fs", "250", "--no-dashboard", *FREE_BUS)
        done = subprocess.run(
            command, stdin=writer.stdout, capture_output=True, text=True, timeout=120, env=environment()
        )
    assert done.returncode == 0, done.stderr
    assert "p1: -, lead ECG, 250 Hz" in done.stdout
    assert "14.0 s watched" in done.stdout
    assert "0 gaps, 0 samples lost" in done.stdout
    assert "leads_off" in done.stdout
    assert "1 unreadable lines" in done.stderr
    assert "'oops'" in done.stderr


TWO_LEADS = """
import numpy as np
from monitor.sources import SourceOptions, open_source
mv = open_source("sim:sinus=12", SourceOptions(fs_hz=250, duration_s=12)).read(3000).samples
ii = np.where(np.arange(3000) < 1500, mv, 0.0)  # a dead electrode from then on
print("n,II,V1")
print(*(f"{n},{a:.4f},{-b:.4f}" for n, (a, b) in enumerate(zip(ii, mv))), sep=chr(10))
"""


@pytest.mark.slow
def test_the_command_watches_and_records_two_columns_of_a_pipe(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", TWO_LEADS], stdout=subprocess.PIPE) as writer:
        command = (*COMMAND, "--source", "-", "--fs", "250", "--column", "II,V1", "--no-dashboard", *FREE_BUS)
        done = subprocess.run(
            (*command, "--record", str(tmp_path)),
            stdin=writer.stdout,
            capture_output=True,
            text=True,
            timeout=120,
            env=environment(),
        )
    assert done.returncode == 0, done.stderr
    assert "p1: -, lead II,V1, 250 Hz" in done.stdout
    assert "p1: lead V1 is used; II: " in done.stderr
    assert "0 gaps, 0 samples lost" in done.stdout
    (record,) = (tmp_path / "p1").glob("*.hea")
    leads = [read_chunks(open_source(f"wfdb:{record.with_suffix('')}", SourceOptions(channel=n))) for n in (0, 1)]
    ii, v1 = (np.concatenate([chunk.samples for chunk in chunks]) for chunks in leads)
    assert ii.size == v1.size == 3000
    np.testing.assert_allclose(ii[:1500], -v1[:1500], atol=2e-3)
    assert np.ptp(v1[1500:]) > 0.5


def test_the_time_column_is_recognised_under_any_name(pipe: Pipe) -> None:
    rows = "".join(f"{i * 0.004:.3f};{i % 7}\n" for i in range(40)).replace(".", ",")
    chunks = pipe.rest("Tijd;Spanning\n" + rows)
    assert signal_of(chunks) == [i % 7 for i in range(40)]


ROWS = [(i, round(0.01 * (i % 90), 2)) for i in range(1500)]


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("time;ECG [uV]\n" + "".join(f"{i / 250:.3f};{v * 1000:.1f}\n" for i, v in ROWS), "uV"),
        ("# fs: 250\nEKG\n" + "".join(f"{v}\n" for _, v in ROWS), "mV"),
    ],
)
def test_the_rate_comes_from_the_rows(text: str, unit: str) -> None:
    far, near = os.pipe()
    writer = threading.Thread(target=lambda: (os.write(near, text.encode()), os.close(near)))
    writer.start()
    source = StdinSource(SourceOptions(), "-", far)
    assert (source.fs_hz, source.unit) == (250, unit)
    chunks: list[Chunk] = []
    try:
        while True:
            if (chunk := source.read(1000)) is not None:
                chunks.append(chunk)
    except EndOfStream:
        pass
    writer.join()
    os.close(far)
    assert signal_of(chunks) == pytest.approx([v for _, v in ROWS])


def test_a_jump_of_the_time_is_a_gap(pipe: Pipe) -> None:
    rows = [i for i in range(1000) if not 500 <= i < 600]
    chunks = pipe.rest("time,ecg\n" + "".join(f"{i / 250:.3f},{i / 1000}\n" for i in rows))
    samples = {c.first_sample + i: v for c in chunks for i, v in enumerate(c.samples)}
    assert samples == {i: i / 1000 for i in rows}


HALF_RATE = """
import sys, time
from monitor.sources import SourceOptions, open_source
mv = open_source("sim:sinus=12", SourceOptions(fs_hz=250, duration_s=12)).read(3000).samples
def send(first, last):
    for at in range(first, last, 25):
        print(*(f"{v:.4f}" for v in mv[at:at + 25]), sep=chr(10), flush=True)
        time.sleep(0.2)  # for 0.1 s of signal: half of real time
send(0, 750)
sys.stdin.readline()  # silence until the test asks for more
send(750, 1000)
"""


@pytest.mark.slow
def test_a_slow_writer_loses_nothing_and_alarms_only_while_silent(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", HALF_RATE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    )
    assert writer.stdin is not None
    command = (*COMMAND, "--source", "-", "--fs", "250", "--no-dashboard", *FREE_BUS, "--record", str(tmp_path))
    with (
        writer,
        subprocess.Popen(
            command, stdin=writer.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
        ) as monitor,
    ):
        alarms = tmp_path / "p1" / "alarms.jsonl"
        wait_for(alarms.is_file, "the recording")
        wait_for(lambda: recorded(tmp_path) >= 750, "the samples at half the rate")
        wait_for(lambda: "no_data" in alarms.read_text(), "the silence")
        writer.stdin.write(b"more\n")
        writer.stdin.flush()
        output, errors = monitor.communicate(timeout=60)
    assert monitor.returncode == 0, errors
    onsets = [line.split()[3] for line in output.splitlines() if " onset " in line]
    assert set(onsets) == {"no_data"}, output
    assert "4.0 s watched" in output
    assert "0 gaps, 0 samples lost" in output


def recorded(folder: Path) -> int:
    """Samples recorded so far."""
    signal = folder / "p1" / "signal.dat"
    return signal.stat().st_size // 2 if signal.is_file() else 0
