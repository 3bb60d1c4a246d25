"""Beat classes of a record's reference annotations, by AAMI EC57."""

from __future__ import annotations

import importlib.util
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.demo.recordings import Recording
from monitor.errors import SourceError
from monitor.reports.annotated_beats import matched_annotations
from monitor.sources.files.record_files import find_record

__all__ = ["CLASS_OF", "classes_known", "classes_of"]

CLASS_OF: Final = {
    **dict.fromkeys("NLRej", "N"),
    **dict.fromkeys("AaJS", "S"),
    **dict.fromkeys("VE", "V"),
    "F": "F",
    **dict.fromkeys("/fQ", "Q"),
}


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
    matched = matched_annotations(r_samples, np.asarray(read.sample)[kept], fs_hz)
    return ["" if at < 0 else kinds[kept[at]] for at in matched.tolist()]
