"""What a start loads: the live path must not pay for libraries that it does not use. Import rules: `lint-imports`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests import ROOT

NEVER = {"torch", "neurokit2", "pandas", "sklearn", "matplotlib", "train"}
STARTS = {  # start: (program, packages that it must not load either)
    "help": (
        "import sys; from monitor.__main__ import main; sys.argv = ['ecg-monitor', '-h']\n"
        "try: main()\n"
        "except SystemExit: pass",
        {"numpy", "scipy", "onnxruntime", "zmq"},
    ),
    "the first frame": (
        "import monitor.commands.local_dashboard; from monitor.sources import SourceOptions, open_source\n"
        "open_source('sim', SourceOptions())",
        {"scipy", "onnxruntime"},
    ),
    "a pipeline": ("import monitor.engine.pipeline, detector.scorer", set()),
    "finding beats": (
        "import numpy as np; from detector import Detector, scorer; Detector(250).push(np.tile(np.hanning(250), 20))",
        {"monitor", "zmq", "rich"},
    ),
}


@pytest.mark.parametrize("start", STARTS)
def test_a_start_loads_no_heavy_package(start: str) -> None:
    program, others = STARTS[start]
    program += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert not set(done.stdout.splitlines()[-1].split()) & (NEVER | others)
