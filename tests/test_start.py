"""What a start loads: the live path must not pay for libraries that it does not use. Import rules: `lint-imports`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests import ROOT


def loaded_by(code: str) -> set[str]:
    """Top-level packages that a new interpreter holds after running the code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module", ["monitor.__main__", "monitor.engine.pipeline", "monitor.dashboard.live", "detector.scorer"]
)
def test_a_start_loads_no_heavy_package(module: str) -> None:
    heavy = {"torch", "neurokit2", "pandas", "sklearn", "matplotlib", "train"}
    assert not loaded_by(f"import {module}") & heavy


def test_finding_beats_loads_neither_torch_nor_the_monitor() -> None:
    code = (
        "import numpy as np; from detector import Detector; from detector import scorer; "
        "Detector(250).push(np.tile(np.hanning(250), 20))"
    )
    assert not loaded_by(code) & {"torch", "train", "monitor", "neurokit2", "pandas", "zmq", "rich"}
