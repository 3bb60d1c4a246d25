"""Scoring records in this process, and reading back what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import wfdb

from detector import Scorer
from monitor.archive.results import BEATS, Results
from monitor.archive.summary import Summary
from monitor.archive.task import Task
from monitor.config import Config, merge
from tests.monitor.engine.helpers import ecg

FS_HZ = 250.0
_SHA256 = Scorer().info.sha256


def task_of(spec: str, out: Path, *, name: str = "rec", strips: int = 6, **sections: dict[str, Any]) -> Task:
    return Task(name, spec, out, merge(Config(), sections, "test"), _SHA256, strips, ("test",))


def write_record(path: Path, scenario: str, fs_hz: float = FS_HZ) -> Path:
    """A WFDB record of a synthetic patient; `path` without suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    signal = ecg(scenario, fs_hz)
    wfdb.wrsamp(
        path.name, fs=fs_hz, units=["mV"], sig_name=["II"], p_signal=signal[:, None], fmt=["16"],
        adc_gain=[1000.0], baseline=[0], write_dir=str(path.parent),
    )  # fmt: skip
    return path


def beats_of(out: Path, name: str = "rec") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(out / name / BEATS).to_pylist()
    return rows


def summary_of(out: Path, name: str = "rec") -> Summary:
    summary = Results(out).get(name)
    assert summary is not None
    return summary


def children_of(pid: int) -> list[int]:
    """Child processes that exist now."""
    try:
        return [
            int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()
        ]
    except FileNotFoundError:
        return []


def alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
