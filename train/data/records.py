"""Records of the data sets, beat classes and patients (the protocol `kaggle` is in `train.data.kaggle`).

Beat classes follow ANSI/AAMI EC57. A fit accepts only `NormalBeats`, which selects the normal beats itself and holds
no label, so no abnormal beat and no label can reach a fit.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector.short_repr import short_repr
from train.data.contexts import Contexts, join_contexts
from train.errors import DataError

__all__ = [
    "CLASSES",
    "DS1",
    "DS2",
    "LabelledBeats",
    "NormalBeats",
    "Record",
    "class_counts",
    "data_folder",
    "find_data",
    "flutter_episodes",
    "join_beats",
    "read_record",
    "record_names",
]

ENVIRONMENT: Final = "ECG_MONITOR_DATA"
CLASSES: Final = ("N", "S", "V", "F", "Q")  # the order is the public files' label 0 to 4
AAMI: Final[dict[str, str]] = {
    symbol: name
    for name, symbols in {"N": "NLRej", "S": "AaJS", "V": "VE", "F": "F", "Q": "/fQ"}.items()
    for symbol in symbols
}

# De Chazal et al. 2004 (doi:10.1109/TBME.2004.827359): 22 patients each, none in both; the paced 102, 104,
# 107 and 217 in neither.
DS1: Final = (
    *("101", "106", "108", "109", "112", "114", "115", "116", "118", "119", "122"),
    *("124", "201", "203", "205", "207", "208", "209", "215", "220", "223", "230"),
)
DS2: Final = (
    *("100", "103", "105", "111", "113", "117", "121", "123", "200", "202", "210"),
    *("212", "213", "214", "219", "221", "222", "228", "231", "232", "233", "234"),
)


@dataclass(frozen=True, slots=True)
class Record:
    """One lead of one annotated record.

    Attributes:
        name: e.g. `208`.
        database: e.g. `mitdb`.
        lead: name of the lead, in the file's words.
        fs_hz: sampling rate, Hz.
        samples_mv: (n,) float64, mV; NaN = marked invalid in the file.
        beat_samples: (k,) int64, annotated R-peaks in samples, in order, beats only.
        beat_labels: (k,) `<U1`, class of each, one of `CLASSES`.
    """

    name: str
    database: str
    lead: str
    fs_hz: float
    samples_mv: NDArray[np.float64]
    beat_samples: NDArray[np.int64]
    beat_labels: NDArray[np.str_]

    __repr__ = short_repr


@dataclass(frozen=True, slots=True)
class LabelledBeats:
    """Beats with their classes: for evaluations, never for a fit.

    Attributes:
        beats: (n, 187) float32.
        labels: (n,) `<U1`, each one of `CLASSES`.
        records: (n,) str, record of each beat, the same for all leads of it; empty strings if unknown.
        contexts: context of each beat; None for beats without order (protocol `kaggle`).
        databases: (n,) str, database of each record; empty strings if unknown, which is the default.
        leads: (n,) str, lead of each beat; empty strings if unknown, which is the default.
    """

    beats: NDArray[np.float32]
    labels: NDArray[np.str_]
    records: NDArray[np.str_]
    contexts: Contexts | None = None
    databases: NDArray[np.str_] = field(default_factory=lambda: np.zeros(0, "<U1"))
    leads: NDArray[np.str_] = field(default_factory=lambda: np.zeros(0, "<U1"))

    __repr__ = short_repr

    def __post_init__(self) -> None:
        """Check that the arrays belong together."""
        for name in ("databases", "leads"):
            if not getattr(self, name).size:
                object.__setattr__(self, name, np.zeros(len(self.labels), "<U1"))
        if self.beats.ndim != 2 or not len(self.beats) == len(self.labels) == len(self.records):
            raise ValueError(
                f"beats {self.beats.shape}, labels {self.labels.shape} and records {self.records.shape} "
                "must be (n, samples), (n,) and (n,)"
            )
        if not len(self.databases) == len(self.leads) == len(self.labels):
            raise ValueError(f"databases {self.databases.shape} and leads {self.leads.shape} must be (n,)")
        if unknown := set(np.unique(self.labels)) - set(CLASSES):
            raise ValueError(f"unknown beat classes {sorted(unknown)}: known are {', '.join(CLASSES)}")

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> LabelledBeats:
        """The beats at `index` (positions or mask), in its order."""
        contexts = None if self.contexts is None else self.contexts.rows(index)
        return LabelledBeats(
            self.beats[index],
            self.labels[index],
            self.records[index],
            contexts,
            self.databases[index],
            self.leads[index],
        )


class NormalBeats:
    """Training data of a fit: normal beats, and no label.

    It cannot be built from bare arrays: the constructor takes labelled beats and keeps class N.

    Attributes:
        beats: (n, 187) float32, all of class N.
        records: (n,) str, record of each beat, to hold out whole patients with all their leads.
        contexts: context of each beat; None for beats without order.
        databases, leads: (n,) str, database and lead of each beat; empty strings if unknown.
    """

    __slots__ = ("beats", "contexts", "databases", "leads", "records")

    def __init__(self, source: LabelledBeats) -> None:
        normal = source.labels == "N"
        if not normal.any():
            raise DataError("no normal beat to train on: give records with beats of class N")
        self.beats: NDArray[np.float32] = np.ascontiguousarray(source.beats[normal], dtype=np.float32)
        self.records: NDArray[np.str_] = source.records[normal]
        self.databases: NDArray[np.str_] = source.databases[normal]
        self.leads: NDArray[np.str_] = source.leads[normal]
        self.contexts: Contexts | None = None if source.contexts is None else source.contexts.rows(normal)

    def __len__(self) -> int:
        return len(self.beats)

    @property
    def signals(self) -> NDArray[np.str_]:
        """(n,) str, name of the signal of each beat: one lead of one record, in order of time within it."""
        return np.strings.add(np.strings.add(self.records, " "), self.leads)

    def rows(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> NormalBeats:
        """The beats at `index` (positions or mask), in its order."""
        part = object.__new__(NormalBeats)
        part.beats, part.records = self.beats[index], self.records[index]
        part.databases, part.leads = self.databases[index], self.leads[index]
        part.contexts = None if self.contexts is None else self.contexts.rows(index)
        return part

    def draw(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Positions of `n` beats without repetition, each signal with the same weight; all beats for 0 or n too large.

        Args:
            n: number of beats; 0 = all.
            rng: source of the draw.
        """
        if not 0 < n < len(self):
            return np.arange(len(self))
        _, signal, counts = np.unique(self.signals, return_inverse=True, return_counts=True)
        weight = 1.0 / counts[signal]
        drawn: NDArray[np.int64] = rng.choice(len(self), n, replace=False, p=weight / weight.sum())
        return drawn

    def hold_out(self, fraction: float, seed: int, by_record: bool) -> tuple[NormalBeats, NormalBeats]:
        """Split into beats to fit and held-out beats (early stopping, threshold).

        Args:
            fraction: held-out share of beats or of records, above 0 and under 1.
            seed: of the split.
            by_record: True = whole records are held out; no record is in both parts.

        Raises:
            ValueError: `fraction` out of range, or too few beats or records to split.
        """
        if not 0 < fraction < 1:
            raise ValueError(f"held-out fraction {fraction} must lie between 0 and 1")
        units = np.unique(self.records) if by_record else np.arange(len(self))
        held = round(fraction * len(units))
        if not 0 < held < len(units):
            what = "records" if by_record else "beats"
            raise ValueError(f"{len(units)} {what} cannot be split with {fraction:g} held out: give more {what}")
        drawn = np.random.default_rng(seed).permutation(units)[:held]
        watched = np.isin(self.records if by_record else units, drawn)
        return self.rows(~watched), self.rows(watched)


def join_beats(parts: Sequence[LabelledBeats]) -> LabelledBeats:
    """Concatenate the beats of several records; contexts only if all of them have contexts."""
    contexts = [part.contexts for part in parts if part.contexts is not None]
    return LabelledBeats(
        np.concatenate([part.beats for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.records for part in parts]),
        join_contexts(contexts) if len(contexts) == len(parts) else None,
        np.concatenate([part.databases for part in parts]),
        np.concatenate([part.leads for part in parts]),
    )


def class_counts(labels: NDArray[np.str_]) -> dict[str, int]:
    """Number of beats of each class, in the order of `CLASSES`."""
    return {name: int(np.count_nonzero(labels == name)) for name in CLASSES}


def find_data(name: str) -> Path | None:
    """Folder of data set `name` (e.g. `mitdb`) in `$ECG_MONITOR_DATA` or in the cache; None if absent from both."""
    return next((place for place in _places(name) if (place / "RECORDS").is_file()), None)


def data_folder(name: str) -> Path:
    """Folder of data set `name`, downloaded from PhysioNet into the cache if absent.

    Raises:
        DataError: it is absent and cannot be downloaded.
    """
    if found := find_data(name):
        return found
    target = _places(name)[-1]
    try:
        import wfdb

        target.parent.mkdir(parents=True, exist_ok=True)
        # Downloaded beside the target, then copied: an interrupted download does not look like a data set.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}-") as part:
            wfdb.dl_database(name, part)
            if not (Path(part) / "RECORDS").is_file():
                (Path(part) / "RECORDS").write_text("".join(f"{p.stem}\n" for p in sorted(Path(part).glob("*.hea"))))
            shutil.copytree(part, target, dirs_exist_ok=True)
    except Exception as error:  # any failure of the network: the same message for the user
        problem = "physionet.org cannot be reached"
        if isinstance(error, OSError) and error.filename is not None:
            problem = f"{error.filename}: {error.strerror}"
        raise DataError(
            f"{name}: not in ${ENVIRONMENT} nor in {target.parent}, and it cannot be downloaded ({problem}); repeat the"
            f" command later, or get https://physionet.org/content/{name}/ elsewhere and set {ENVIRONMENT} to the"
            f" folder with {name}/ in it"
        ) from error
    return target


def record_names(name: str = "mitdb") -> list[str]:
    """Names of all records of a data set, in the order of its RECORDS file."""
    return (data_folder(name) / "RECORDS").read_text().split()


def read_record(record: str, data_set: str = "mitdb", second: bool = False) -> Record:
    """Read one lead of one record with its annotated beats: MLII if present, else the first signal.

    Args:
        record: name.
        data_set: `mitdb`, `qtdb`, `nstdb`, or another that has annotations `.atr`.
        second: True = the other lead of a record with two.

    Raises:
        DataError: no such record or second lead, or its files cannot be read.
    """
    import wfdb

    path = data_folder(data_set) / record
    if not path.with_suffix(".hea").is_file():
        raise DataError(f"{data_set} has no record {record!r}: see {path.parent / 'RECORDS'} for the names")
    try:
        signal = wfdb.rdrecord(str(path))
        marks = wfdb.rdann(str(path), "atr")
    except Exception as error:  # wfdb raises any class for a broken file
        raise DataError(f"{path}: cannot be read ({error}); download {data_set} again") from error
    names: list[str] = list(signal.sig_name)
    channel = names.index("MLII") if "MLII" in names else 0
    if second:
        others = [k for k in range(len(names)) if k != channel]
        if not others:
            raise DataError(f"{path}: has only the lead {names[channel]}; take its first lead")
        channel = others[0]
    beats = [(at, AAMI[s]) for at, s in zip(marks.sample, marks.symbol, strict=True) if s in AAMI]
    return Record(
        name=record,
        database=data_set,
        lead=names[channel],
        fs_hz=float(signal.fs),
        samples_mv=np.asarray(signal.p_signal[:, channel], dtype=np.float64),
        beat_samples=np.array([at for at, _ in beats], dtype=np.int64),
        beat_labels=np.array([name for _, name in beats], dtype="<U1"),
    )


def flutter_episodes(record: str) -> list[tuple[int, int]]:
    """Ventricular flutter or fibrillation in a record of `mitdb`: first and last sample of each episode.

    Flutter waves are annotated instead of beats, so EC57 compares no beats between `[` and `]`.
    """
    import wfdb

    marks = wfdb.rdann(str(data_folder("mitdb") / record), "atr")
    at = {
        kind: [int(t) for t, symbol in zip(marks.sample, marks.symbol, strict=True) if symbol == kind] for kind in "[]"
    }
    return list(zip(at["["], at["]"], strict=True))


def _places(name: str) -> list[Path]:
    import platformdirs

    places = [Path(os.environ[ENVIRONMENT]) / name] if os.environ.get(ENVIRONMENT) else []
    return [*places, platformdirs.user_cache_path("ecg-monitor") / name]
