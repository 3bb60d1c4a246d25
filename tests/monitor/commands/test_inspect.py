"""`ecg-monitor inspect`."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from monitor.commands.app import app
from monitor.config import Config, merge
from monitor.engine import inspection
from monitor.engine.bed_plan import BedPlan, open_bed
from monitor.engine.inspection import inspect_source
from monitor.errors import SourceError
from monitor.sources import Chunk, Notice, SourceOptions, open_source
from tests.monitor.engine.helpers import FedSource
from tests.monitor.sources.helpers import read_signal


def inspected(*arguments: str) -> tuple[int, dict[str, str], str]:
    """Exit code, rows by name, and the whole output."""
    result = CliRunner().invoke(app, ["inspect", *arguments])
    rows = {}
    for line in result.output.splitlines():
        name, _, text = line.partition(" ")
        rows.setdefault(name, text.strip())
    return result.exit_code, rows, result.output


def csv_of(path: Path, scenario: str, scale: float = 1.0, header: str = "time,ECG [mV]") -> Path:
    source = open_source(f"sim:{scenario}")
    _, mv = read_signal(source)
    lines = [f"{k / source.fs_hz:.4f},{value * scale:.4f}" for k, value in enumerate(mv)]
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_a_source_is_described_and_drawn() -> None:
    code, rows, output = inspected("sim:sinus@80=20;seed=3")
    assert code == 0
    assert rows["rate"] == "250 Hz"
    assert rows["length"] == "20.0 s"
    assert rows["gaps"] == "none"
    assert 78 <= int(rows["beats"].split()[2]) <= 82
    assert sum("\u2800" < character <= "\u28ff" for character in output) > 100  # the drawing
    assert max(map(len, output.splitlines())) <= 80


def test_gaps_and_invalid_samples_are_counted() -> None:
    source = open_source("sim:losses=20")
    found = inspect_source(source, 20.0)
    assert found.ended is False or found.read_s == 20.0
    chunks = []
    again = open_source("sim:losses=20")
    missing = end = 0
    while end < 20 * again.fs_hz:
        chunk = again.read(1000)
        assert chunk is not None
        missing += chunk.first_sample - end
        end = chunk.first_sample + chunk.samples.size
        chunks.append(chunk)
    assert sum(n for _, n in found.gaps) == missing > 0


def test_a_refused_source_shows_what_was_recognised_and_the_reason(tmp_path: Path) -> None:
    (tmp_path / "abp.hea").write_text("abp 1 250 1000\nabp.dat 16 200/mmHg 16 0 0 0 0 ABP\n")
    (tmp_path / "abp.dat").write_bytes(bytes(2000))
    spec = f"wfdb:{tmp_path / 'abp'}"
    code, rows, _ = inspected(spec)
    assert code == 2
    assert rows["channels"].startswith("0 ABP [mmHg]")
    assert "no channel is an ECG" in rows["refused"]
    settings = merge(Config(), {"source": {"spec": spec}}, "test")
    with pytest.raises(SourceError, match=rf"ecg-monitor inspect {re.escape(spec)} shows what was recognised"):
        open_bed(BedPlan("p1", settings.source), settings)


def test_an_error_names_the_command_only_where_something_was_recognised() -> None:
    settings = merge(Config(), {"source": {"spec": "wfdb:nowhere"}}, "test")
    with pytest.raises(SourceError) as error:
        open_bed(BedPlan("p1", settings.source), settings)
    assert "inspect" not in str(error.value)


def test_a_wrong_unit_is_hinted(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "a.csv", "sinus=20", scale=1000, header="time,ECG")
    _, rows, _ = inspected(f"csv:{path}")
    assert "--unit uV" in rows["unit?"]
    code, rows, _ = inspected(f"csv:{path}", "--unit", "uV")
    assert code == 0
    assert "unit?" not in rows
    assert rows["unit"] == "uV"


def test_the_drawing_begins_where_the_signal_is_read() -> None:
    source = open_source("sim:sinus=30", SourceOptions(start_s=10.0))
    found = inspect_source(source, 5.0)
    assert found.first_sample == 2500
    assert np.isfinite(found.drawn).all()


class ChunkSource(FedSource):
    """Gives the same chunk at each call."""

    def __init__(self, chunk: Chunk) -> None:
        super().__init__()
        self._chunk = chunk

    def read(self, max_samples: int) -> Chunk | None:
        return self._chunk


def test_samples_that_run_back_are_an_error() -> None:
    found = inspect_source(ChunkSource(Chunk(5, np.zeros(10), 0.0)), 5.0)
    assert found.error == "fed gave first_sample 5, at least 15 was due"


def test_a_live_source_without_a_sample_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "_LATE_S", 0.0)
    garbage = ChunkSource(Chunk(0, np.empty(0), None, (Notice("bad_input", "1 line is no number"),)))
    found = inspect_source(garbage, 0.01)
    assert "0.0 s of signal" in found.error
    assert found.notices
