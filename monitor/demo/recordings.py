"""The recordings of the demo: synthetic patients always, real records where the data folder holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from monitor.sources.files.record_files import data_folders

__all__ = ["RECORDINGS", "Recording", "available"]

# Records of DS1, whose normal beats the model was trained on (detector/models/ecg_maf.md).
_TRAINING: Final = frozenset({"119", "207", "208"})
_CREDIT: Final = {
    "mitdb": (
        "MIT-BIH Arrhythmia Database 1.0.0 (Moody and Mark 2001), PhysioNet, doi.org/10.13026/C2F305, "
        "Open Data Commons Attribution License 1.0"
    ),
    "cudb": (
        "CU Ventricular Tachyarrhythmia Database 1.0.0 (Nolle et al. 1986), PhysioNet, doi.org/10.13026/C2X59M, "
        "Open Data Commons Attribution License 1.0"
    ),
}


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording to be shipped.

    Attributes:
        key: name of its files.
        title: for the list.
        text: one or two sentences on what is to be seen.
        spec: of the source, with an end.
        start_s, duration_s: excerpt of the source, s; 0 = from its start, to its end.
    """

    key: str
    title: str
    text: str
    spec: str
    start_s: float = 0.0
    duration_s: float = 0.0

    @property
    def database(self) -> str:
        """Database of the record; empty for a synthetic patient."""
        return "" if self.spec.startswith("sim:") else self.spec.partition(":")[0]

    @property
    def record(self) -> str:
        """Name of the record within its database."""
        return self.spec.partition(":")[2]

    @property
    def training(self) -> bool:
        """Whether the model was trained on normal beats of this patient."""
        return self.database == "mitdb" and self.record in _TRAINING

    @property
    def credit(self) -> str:
        """Source and licence of the signal."""
        return _CREDIT.get(self.database, "synthetic patient of ecg-monitor, MIT license")


def _sim(key: str, title: str, text: str, scenario: str) -> Recording:
    return Recording(key, title, text, f"sim:{scenario};seed=7")


def _mitdb(record: str, title: str, text: str, start_s: float) -> Recording:
    return Recording(f"mitdb-{record}", f"{record}: {title}", text, f"mitdb:{record}", start_s, 180.0)


RECORDINGS: Final[Sequence[Recording]] = (
    _sim(
        "tour",
        "Tour",
        "Sinus rhythm, single ectopic beats, a ventricular run, an arrest and electrode motion.",
        "sinus=25,pvc=20,pac=16,vt@180=8,sinus=14,asystole=7,sinus=14,noise=6,sinus=10",
    ),
    _sim("sinus", "Sinus rhythm", "Nothing happens: no alarm is the right answer.", "sinus=90"),
    _sim(
        "pvc",
        "Ventricular ectopic beats",
        "Every fourth or fifth beat is wide and early, later in pairs.",
        "sinus=25,pvc=50,couplet=20",
    ),
    _sim("bigeminy", "Bigeminy", "From 30 s on, every second beat is wide and early.", "sinus=30,bigeminy=40,sinus=15"),
    _sim("vt", "Ventricular tachycardia", "A monomorphic run at 180 a minute.", "sinus=35,vt@180=14,sinus=25"),
    _sim(
        "vf",
        "Ventricular fibrillation",
        "Sinus rhythm, a short run, then no QRS complex at all.",
        "sinus=35,vt@200=5,vf=25",
    ),
    _sim("torsades", "Torsades de pointes", "A polymorphic run whose axis twists.", "sinus=35,torsades=12,sinus=20"),
    _sim("af", "Atrial fibrillation", "Irregular intervals, no P waves, narrow QRS complexes.", "sinus=30,af=70"),
    _sim(
        "asystole",
        "Asystole",
        "A pause of 3 s, later no heartbeat for 12 s.",
        "sinus=30,pause=12,sinus=10,asystole=12,sinus=15",
    ),
    _sim("block", "Complete AV block", "P waves go on; slow, wide escape beats.", "sinus=30,block_wide=35,sinus=15"),
    _sim(
        "paced",
        "Pacemaker",
        "Pulses with capture, then pulses without it. The violet lines are the pulses.",
        "paced=50,capture_lost=8,paced=20",
    ),
    _sim(
        "signal",
        "Bad signal",
        "Muscle noise, electrode motion, electrode off: beats that cannot be scored are not scored.",
        "sinus=25,muscle=10,sinus=8,motion=12,sinus=8,leadsoff=8,sinus=20",
    ),
    _mitdb("100", "sinus rhythm", "A few premature atrial beats (A). A patient that the model has not seen.", 0.0),
    _mitdb("200", "bigeminy", "Ventricular bigeminy in a patient that the model has not seen.", 0.0),
    _mitdb("119", "bigeminy, trigeminy", "Ventricular beats in changing patterns.", 0.0),
    _mitdb("208", "ventricular and fusion", "Many ventricular beats, and fusions of both kinds (F).", 60.0),
    _mitdb("233", "ventricular, couplets", "Ventricular beats of several shapes, in pairs and runs.", 0.0),
    _mitdb("219", "atrial fibrillation", "Irregular intervals. A patient that the model has not seen.", 0.0),
    _mitdb("207", "ventricular flutter", "Bundle branch block, then ventricular flutter.", 0.0),
    _mitdb(
        "213",
        "missed fusion beats",
        "Where it fails: fusion beats (F) differ little from this patient's normal one.",
        0.0,
    ),
    _mitdb(
        "232",
        "most beats missed",
        "Where it fails: most beats are premature atrial ones (A), so they become the usual beat.",
        0.0,
    ),
    Recording(
        "cudb-cu01",
        "cu01: ventricular fibrillation",
        "A real onset of ventricular fibrillation.",
        "cudb:cu01",
        90.0,
        180.0,
    ),
)


def available() -> list[Recording]:
    """Synthetic patients, and those real records that are on this machine: nothing is downloaded."""
    return [one for one in RECORDINGS if not one.database or _on_disk(one)]


def _on_disk(recording: Recording) -> bool:
    folders = data_folders(recording.database)
    return any((folder / f"{recording.record}.hea").is_file() for folder in folders)
