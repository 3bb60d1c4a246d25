"""Protocol `kaggle`: the public 187-sample data set, rebuilt from raw records or read from CSV files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector import BEAT_SAMPLES
from train.data.records import CLASSES, LabelledBeats, Record, class_counts, join_beats, read_record, record_names
from train.errors import DataError

__all__ = ["KAGGLE_COUNTS", "KAGGLE_DEFINITION", "KAGGLE_TEST_BEATS", "kaggle_beats", "kaggle_split", "read_kaggle_csv"]

KAGGLE_DEFINITION: Final = "kaggle/1"  # beat definition in the metadata of a model fitted to these beats
KAGGLE_FS_HZ: Final = 125
KAGGLE_WINDOW: Final = 1250  # 10 s at 125 Hz
KAGGLE_TEST_BEATS: Final = 21_892
KAGGLE_COUNTS: Final = {"N": 90_581, "S": 2_780, "V": 7_236, "F": 803, "Q": 8_039}
KAGGLE_CSV: Final = ("mitbih_train.csv", "mitbih_test.csv")


def kaggle_beats(records: list[str] | None = None) -> LabelledBeats:
    """Rebuild the public 187-sample data set from the raw records (two seconds, so nothing is cached).

    Recipe of Kachuee et al. 2018 (arXiv:1805.00794): MLII at 125 Hz, 10-s windows from sample 0. A beat is the signal
    from R for 1.2 median RR of its window, at most 187 samples, scaled to 0..1 by its own range and zero-padded. Left
    out: windows with fewer than two beats, and beats that extend past the end of the record.

    Args:
        records: some of the records, e.g. for a test; None = all 48, with a check of the class counts.

    Raises:
        DataError: `records` is None and the counts are not `KAGGLE_COUNTS`.
    """
    whole = join_beats([_kaggle_record(read_record(name)) for name in (records or record_names())])
    if records is None and (counts := class_counts(whole.labels)) != KAGGLE_COUNTS:
        raise DataError(
            f"kaggle beats are {counts}, expected {KAGGLE_COUNTS}: the mitdb folder is incomplete or changed"
        )
    return whole


def kaggle_split(data: LabelledBeats) -> tuple[LabelledBeats, LabelledBeats]:
    """Training and test part of protocol `kaggle`: 21,892 test beats, stratified by class, by beat.

    Patients overlap between the parts, as in the public files.
    """
    from sklearn.model_selection import train_test_split

    codes = np.array([CLASSES.index(name) for name in data.labels])
    train, test = train_test_split(np.arange(len(data)), test_size=KAGGLE_TEST_BEATS, stratify=codes, random_state=0)
    return data.rows(train), data.rows(test)


def read_kaggle_csv(folder: Path) -> tuple[LabelledBeats, LabelledBeats]:
    """Read the public `mitbih_train.csv` and `mitbih_test.csv`: a row is 187 samples and a class 0 to 4.

    Raises:
        DataError: a file is absent, not numeric, or not 188 columns wide.
    """
    train, test = (_read_csv(folder / name) for name in KAGGLE_CSV)
    return train, test


def _kaggle_record(record: Record) -> LabelledBeats:
    from scipy.signal import resample_poly

    signal = resample_poly(record.samples_mv, 25, 72)  # 360 Hz -> 125 Hz
    r_at = np.array([round(at * KAGGLE_FS_HZ / record.fs_hz) for at in record.beat_samples.tolist()])
    beats: list[NDArray[np.float32]] = []
    labels: list[str] = []
    for start in range(0, len(signal), KAGGLE_WINDOW):
        inside = np.flatnonzero((r_at >= start) & (r_at < start + KAGGLE_WINDOW))
        if len(inside) < 2:
            continue
        length = min(int(1.2 * np.median(np.diff(r_at[inside]))), BEAT_SAMPLES)
        for k in inside:
            if r_at[k] + length > len(signal):
                continue
            piece = signal[r_at[k] : r_at[k] + length]
            low, high = piece.min(), piece.max()
            beat = np.zeros(BEAT_SAMPLES, dtype=np.float32)
            beat[:length] = (piece - low) / (high - low) if high > low else 0.0
            beats.append(beat)
            labels.append(str(record.beat_labels[k]))
    return LabelledBeats(
        np.array(beats, dtype=np.float32).reshape(-1, BEAT_SAMPLES),
        np.array(labels, dtype="<U1"),
        np.full(len(labels), record.name),
    )


def _read_csv(path: Path) -> LabelledBeats:
    if not path.is_file():
        raise DataError(f"{path}: no such file; --csv-dir must hold {' and '.join(KAGGLE_CSV)}")
    try:
        table = np.loadtxt(path, delimiter=",", dtype=np.float32, ndmin=2)
    except ValueError as error:
        raise DataError(f"{path}: not a table of numbers ({error})") from error
    if table.shape[1] != BEAT_SAMPLES + 1:
        raise DataError(f"{path}: {table.shape[1]} columns, expected {BEAT_SAMPLES + 1} (samples and class)")
    codes = table[:, -1]
    if not np.isin(codes, range(len(CLASSES))).all() or not np.isfinite(table).all():
        raise DataError(f"{path}: holds a class other than 0 to 4, or a value that is not finite")
    labels = np.array(CLASSES)[codes.astype(np.int64)]
    return LabelledBeats(np.ascontiguousarray(table[:, :-1]), labels, np.full(len(table), ""))
