"""The fuzzer of the serial parsers, at small size."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests import ROOT


@pytest.mark.parametrize("inputs", [4_000, pytest.param(40_000, marks=pytest.mark.slow)])
def test_no_input_breaks_a_parser(inputs: int) -> None:
    """A million inputs take half a minute: python tools/fuzz_serial.py."""
    command = [sys.executable, str(ROOT / "tools" / "fuzz_serial.py"), "--inputs", str(inputs), "--seed", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 8
