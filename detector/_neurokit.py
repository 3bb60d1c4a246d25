"""neurokit2's R-peak finder, imported late."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["findpeaks"]


def findpeaks(window: NDArray[np.float64], fs_hz: float) -> NDArray[np.int64]:
    """R-peaks by the neurokit method (Makowski et al. 2021, DOI 10.3758/s13428-020-01516-y).

    `ecg_findpeaks` is called rather than `ecg_peaks`, which builds data frames and costs many times more.
    The import is here because it takes seconds: the first frame on screen must not wait for it.
    """
    import neurokit2

    found = neurokit2.ecg_findpeaks(window, sampling_rate=fs_hz, method="neurokit")
    return np.asarray(found["ECG_R_Peaks"], dtype=np.int64)
