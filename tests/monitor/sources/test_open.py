"""`open_source`: names of sources, supported rates, late imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from monitor.errors import SourceError
from monitor.sources import SOURCES, SourceOptions, open_source
from tests.monitor.commands.helpers import ecg_monitor


@pytest.mark.parametrize("spec", ["", "foo", "foo:1", "mitdb208", "SIM"])
def test_an_unknown_source_lists_the_known_kinds(spec: str) -> None:
    with pytest.raises(SourceError) as refused:
        open_source(spec)
    assert repr(spec) in str(refused.value)
    for kind in SOURCES:
        assert kind in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("fs_hz", [0.0, -1.0, 99.0, 100_001.0, float("nan"), float("inf")])
def test_a_rate_out_of_range_is_refused(fs_hz: float) -> None:
    with pytest.raises(SourceError, match="between 100 and 100000 Hz"):
        open_source("sim", SourceOptions(fs_hz=fs_hz))


@pytest.mark.parametrize(
    ("spec", "channels", "why"),
    [
        ("zmq:tcp://127.0.0.1:5600", "II,V1", "a sender gives one lead; name one, e.g. --channel II$"),
        ("ble:H10", "0,1", "a strap has one lead; leave out --channel$"),
        *[(spec, "A,B,C", "give one lead, or two different ones") for spec in ("-", "serial", "lsl:ECG")],
        *[("brainflow:SYNTHETIC_BOARD", each, "give one lead, or two different ones") for each in ("1,1", "a,A", "1,")],
    ],
)
def test_two_leads_that_a_live_source_cannot_have_are_refused(spec: str, channels: str, why: str) -> None:
    with pytest.raises(SourceError, match=why) as refused:
        open_source(spec, SourceOptions(channel=channels, fs_hz=250.0))
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith(spec)


def test_two_leads_of_a_strap_end_the_monitor_with_one_line() -> None:
    done = ecg_monitor("--source", "ble:H10", "--channel", "A,B")
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["ecg-monitor: ble:H10: a strap has one lead; leave out --channel"]


@pytest.mark.slow
def test_help_and_documentation_name_every_source() -> None:
    page = (Path(__file__).parents[3] / "docs" / "sources.md").read_text("utf-8")
    text = ecg_monitor("--help").stdout.replace("\n", " ")
    for kind in SOURCES:
        assert f"`{kind}" in page
        assert f" {kind}" in text


def loaded(code: str, *names: str) -> set[str]:
    """Run `code` in a fresh interpreter; return those of `names` that it imported."""
    script = f"import sys\n{code}\nprint(*[n for n in {names!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_imports_are_late(tmp_path: Path) -> None:
    heavy = ("scipy", "pandas", "wfdb", "edfio", "serial", "platformdirs", "torch", "neurokit2", "zmq", "rich")
    assert loaded("import monitor.sources", *heavy) == set()
    (tmp_path / "rec.hea").write_text("rec 1 250 100\nrec.dat 16 200 16 0 0 0 0 II\n")
    (tmp_path / "rec.dat").write_bytes(bytes(200))
    replay = f"from monitor.sources import open_source; open_source('wfdb:{tmp_path / 'rec'}').read(100)"
    assert loaded(replay, *heavy) == set(), "a plain record needs no wfdb"


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("nothing.csv", r"^nothing\.csv: no such file$"),
        ("a/nothing", "^a/nothing: no such file$"),
        (r"C:\records\100.edf", "no such file$"),
        (".", "a folder; name a record in it"),
        ("..", "a folder; name a record in it"),
        ("cvs:a.csv", "unknown source 'cvs:a.csv'; choose one of sim"),
        ("nothing", "unknown source 'nothing'"),
    ],
)
def test_what_cannot_be_opened_is_named_for_what_it_is(spec: str, why: str) -> None:
    with pytest.raises(SourceError, match=why):
        open_source(spec)
