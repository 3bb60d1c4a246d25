"""Beat classes of a record's reference annotations, by AAMI EC57."""

from __future__ import annotations

import importlib.util
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.demo.recordings import Recording
from monitor.errors import SourceError
from monitor.sources.files.record_files import find_record

__all__ = ["CLASS_OF", "classes_known", "classes_of", "matched_classes"]

CLASS_OF: Final = {
    **dict.fromkeys("NLRej", "N"),
    **dict.fromkeys("AaJS", "S"),
    **dict.fromkeys("VE", "V"),
    "F": "F",
    **dict.fromkeys("/fQ", "Q"),
}
_WINDOW_S: Final = 0.15  # EC57: a beat is the annotated one within 150 ms


def classes_known() -> bool:
    """Whether wfdb, which reads annotations, is installed."""
    return importlib.util.find_spec("wfdb") is not None


def classes_of(recording: Recording, r_samples: NDArray[np.int64], fs_hz: float) -> list[str] | None:
    """Class of each beat; empty where no annotation is near. None without wfdb, or for a record without classes.

    Raises:
        SourceError: the annotations cannot be read.
    """
    if recording.database != "mitdb" or not classes_known():
        return None
    import wfdb

    try:
        read = wfdb.rdann(str(find_record(recording.database, recording.record)), "atr")
    except (OSError, ValueError, IndexError) as error:
        raise SourceError(f"{recording.spec}: annotations cannot be read ({error}); get the record again") from None
    kinds = [CLASS_OF.get(symbol, "") for symbol in read.symbol]
    kept = [at for at, kind in enumerate(kinds) if kind]
    return matched_classes(r_samples, np.asarray(read.sample)[kept], [kinds[at] for at in kept], fs_hz)


def matched_classes(
    r_samples: NDArray[np.int64], annotated: NDArray[np.int64], classes: list[str], fs_hz: float
) -> list[str]:
    """Class of the nearest annotation of each beat, at most 150 ms away; an annotation serves one beat only.

    Args:
        r_samples: (n,) R-peaks.
        annotated: (m,) annotated beats, rising.
        classes: of the annotated beats.
        fs_hz: sampling rate of both.

    Returns:
        n classes; empty = none.
    """
    found = [""] * len(r_samples)
    if not len(annotated):
        return found
    best: dict[int, tuple[int, int]] = {}  # annotation -> distance, beat
    right = np.clip(np.searchsorted(annotated, r_samples), 1, max(len(annotated) - 1, 1))
    for beat, (r, at) in enumerate(zip(r_samples.tolist(), right.tolist(), strict=True)):
        nearest = min((i for i in (at - 1, at) if i < len(annotated)), key=lambda i: abs(int(annotated[i]) - r))
        distance = abs(int(annotated[nearest]) - r)
        if distance <= _WINDOW_S * fs_hz and distance < best.get(nearest, (10**9, 0))[0]:
            best[nearest] = distance, beat
    for annotation, (_, beat) in best.items():
        found[beat] = classes[annotation]
    return found
