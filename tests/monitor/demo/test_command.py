"""`ecg-monitor demo` as a process."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import ROOT

pytestmark = pytest.mark.slow


def demo(*words: str | Path, limit: Callable[[], None] | None = None, **variables: str) -> tuple[int, list[str]]:
    """Exit code and lines of standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "monitor", "demo", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=ROOT,
        env=os.environ | variables,
        preexec_fn=limit,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr.splitlines()


def test_one_recording(tmp_path: Path) -> None:
    code, lines = demo("--out", tmp_path / "demo", "--only", "vt", "--only", "vt")
    assert code == 0
    assert lines[0].startswith("ecg-monitor: sim:sinus=35,vt@180=14")
    assert "1 recording, " in lines[-1]
    index = json.loads((tmp_path / "demo" / "index.json").read_bytes())
    assert [one["key"] for one in index["recordings"]] == ["vt"]
    assert "ventricular_run" in index["recordings"][0]["alarms"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--only", "nope"], "--only nope: unknown; there are tour, sinus"),
        (["--only", "mitdb-200"], "--only mitdb-200: its record is not on this machine; set ECG_MONITOR_DATA"),
        (["--ort", "nowhere"], "is no npm package onnxruntime-web"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, words: list[str], says: str) -> None:
    variables = {"ECG_MONITOR_DATA": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    code, lines = demo("--out", tmp_path / "demo", *words, **variables)
    assert code == 2
    assert len(lines) == 1
    assert says in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_files_is_refused_before_anything_is_downloaded(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    cache = tmp_path / "cache"
    code, lines = demo("--out", tmp_path, XDG_CACHE_HOME=str(cache), NPM_CONFIG_REGISTRY="http://127.0.0.1:9")
    assert (code, len(lines)) == (2, 1)
    assert "exists and is no earlier demo" in lines[0]


def test_without_network_and_package_one_line_with_the_remedy(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    variables = {"XDG_CACHE_HOME": str(cache), "NPM_CONFIG_REGISTRY": "http://127.0.0.1:9"}
    code, lines = demo("--out", tmp_path / "demo", "--only", "vt", **variables)
    assert (code, len(lines)) == (2, 1)
    assert "npm install onnxruntime-web@" in lines[0]
    assert "--ort node_modules/onnxruntime-web" in lines[0]
    assert not (tmp_path / "demo").exists()


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    code, lines = demo("--out", tmp_path / "demo", "--only", "vt", limit=limit)
    assert (code, len(lines)) == (2, 1)
    assert "File too large; give another folder" in lines[0]
    assert list(tmp_path.iterdir()) == []
