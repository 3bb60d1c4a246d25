"""The lean import of neurokit2's R-peak finder: the same peaks, no heavy packages, and a fallback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from detector import _neurokit
from detector.bandpass import Bandpass
from tests.detector.helpers_signals import read_lead, synthetic_ecg

HEAVY = ("neurokit2", "pandas", "sklearn", "matplotlib", "pywt", "torch")
PLENTY = 120.0
FIND_PEAKS = f"""
import sys
import numpy as np
from detector import Detector
bump = np.exp(-0.5 * ((np.arange(250) - 100) / 4.0) ** 2)
detector = Detector(250)
beats = detector.push(np.tile(bump, 12))
assert len(beats) > 8, len(beats)
heavy = [name for name in {HEAVY!r} if name in sys.modules]
assert not heavy, heavy
"""


@pytest.fixture
def fresh_finder() -> Iterator[None]:
    _neurokit._finder.cache_clear()
    yield
    _neurokit._finder.cache_clear()


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PLENTY, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_finding_peaks_loads_none_of_the_heavy_packages() -> None:
    python(FIND_PEAKS)


@pytest.mark.slow
def test_an_ordinary_import_afterwards_is_complete() -> None:
    python(
        FIND_PEAKS
        + """
import neurokit2
import pandas
assert neurokit2.ecg_findpeaks.__module__ == "neurokit2.ecg.ecg_findpeaks"
signals, info = neurokit2.ecg_process(neurokit2.ecg_simulate(10, sampling_rate=250, random_state=1), 250)
assert isinstance(signals, pandas.DataFrame) and len(info["ECG_R_Peaks"]) > 5
"""
    )


@pytest.mark.slow
def test_an_ordinary_import_made_before_is_used() -> None:
    printed = python(
        "import neurokit2; from detector import _neurokit; print(_neurokit._finder() is neurokit2.ecg_findpeaks)"
    )
    assert printed == "True"


@pytest.mark.parametrize("fs_hz", [100.0, 250.0, 360.0, 1000.0])
def test_lean_and_plain_agree_on_synthetic_ecg(fs_hz: float) -> None:
    signal = Bandpass(fs_hz).push(synthetic_ecg(fs_hz, 20, seed=3, noise_mv=0.05)[0])
    lean = _neurokit._lean()(signal, sampling_rate=fs_hz, method="neurokit")
    plain = _neurokit._plain()(signal, sampling_rate=fs_hz, method="neurokit")
    assert len(plain["ECG_R_Peaks"]) > 15
    np.testing.assert_array_equal(lean["ECG_R_Peaks"], plain["ECG_R_Peaks"])


@pytest.mark.parametrize("name", ["119", "208", "203"])
def test_lean_and_plain_agree_on_real_ecg(data_folder: Path, name: str) -> None:
    signal = Bandpass(360.0).push(read_lead(data_folder, name, sampto=120 * 360))
    lean, plain = _neurokit._lean(), _neurokit._plain()
    for first in range(0, signal.size - 2880, 1000):
        window = signal[first : first + 2880]
        np.testing.assert_array_equal(
            lean(window, sampling_rate=360.0, method="neurokit")["ECG_R_Peaks"],
            plain(window, sampling_rate=360.0, method="neurokit")["ECG_R_Peaks"],
        )


def _peaks() -> list[int]:
    found: list[int] = _neurokit.findpeaks(np.tile(np.hanning(25).tolist() + [0.0] * 225, 8), 250.0).tolist()
    return found


@pytest.mark.usefixtures("fresh_finder")
def test_without_the_expected_layout_the_plain_import_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _peaks()
    _neurokit._finder.cache_clear()
    monkeypatch.delitem(sys.modules, "neurokit2", raising=False)
    monkeypatch.setattr(_neurokit, "find_spec", lambda name: None)
    assert _peaks() == expected
    assert len(expected) > 5
    assert _neurokit._finder().__module__ == "neurokit2.ecg.ecg_findpeaks"


@pytest.mark.usefixtures("fresh_finder")
def test_if_the_lean_import_lacks_a_package_the_plain_one_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _peaks()
    _neurokit._finder.cache_clear()
    monkeypatch.delitem(sys.modules, "neurokit2", raising=False)
    monkeypatch.setattr(_neurokit, "_NEEDED", frozenset())
    with pytest.raises(ImportError, match="left out"):
        _neurokit._lean()(np.zeros(1000), sampling_rate=250.0)
    assert _peaks() == expected
