"""Groups of training patients: DS1 of mitdb, and two parts of qtdb. DS2 is in none of them.

The QT Database (Laguna et al. 1997, doi:10.1109/CIC.1997.648140) collects records of other databases, also of mitdb:
its `sel100` is a patient of DS2. So the records are named here: those from the European ST-T Database (`sele*`), the
ST Change Database (`sel3*`) and the Long-Term Database (`sel14*`, `sel15814`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import numpy as np

from train.data.detected_beats import StreamedRecord, labelled, stream_beats
from train.data.records import DS1, LabelledBeats, NormalBeats
from train.errors import DataError

__all__ = ["GROUPS", "Leads", "check_groups", "check_leads", "group_beats", "group_records", "thinned"]

Leads = Literal["first", "both"]

_SELE: Final = (
    *("0104", "0106", "0107", "0110", "0111", "0112", "0114", "0116", "0121", "0122", "0124", "0126", "0129", "0133"),
    *("0136", "0166", "0170", "0203", "0210", "0211", "0303", "0405", "0406", "0409", "0411", "0509", "0603", "0604"),
    *("0606", "0607", "0609", "0612", "0704"),
)
# Name of a group: its database and records. The European ST-T Database has 90 records of 79 subjects and does not say
# which belong together, so a patient may have two records within `sele`, never in two groups.
GROUPS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "ds1": ("mitdb", DS1),
    "sele": ("qtdb", tuple(f"sele{number}" for number in _SELE)),
    "qtother": (
        "qtdb",
        ("sel14046", "sel14157", "sel14172", "sel15814", "sel301", "sel302", "sel306", "sel307", "sel308", "sel310"),
    ),
}


def check_groups(names: Sequence[str]) -> tuple[str, ...]:
    """The groups in the order of `GROUPS`, each once.

    Raises:
        DataError: none, or an unknown one.
    """
    for name in names:
        if name not in GROUPS:
            raise DataError(f"group {name!r}: unknown; give {', '.join(GROUPS)}")
    if not names:
        raise DataError(f"no group of patients; give one or more of {', '.join(GROUPS)}")
    return tuple(name for name in GROUPS if name in names)


def check_leads(name: str) -> Leads:
    """The name itself.

    Raises:
        DataError: neither `first` nor `both`.
    """
    if name == "first":
        return "first"
    if name == "both":
        return "both"
    raise DataError(f"leads {name!r}: unknown; give first or both")


def group_records(group: str, leads: Leads, limit: int | None = None) -> Iterable[StreamedRecord]:
    """The records of a group as the detector processed them: all first leads, then all second ones.

    Args:
        group: of `GROUPS`.
        leads: `first` (MLII where a record has it) or `both`.
        limit: only the first N records.
    """
    database, names = GROUPS[group]
    for second in (False, True) if leads == "both" else (False,):
        yield from stream_beats(names[:limit], database, second)


def group_beats(groups: Sequence[str], leads: Leads, limit: int | None = None) -> LabelledBeats:
    """Scorable detected beats of groups with their classes, patient, database and lead; see `labelled`."""
    return labelled(record for group in check_groups(groups) for record in group_records(group, leads, limit))


def thinned(normals: NormalBeats, beats_per_lead: int) -> NormalBeats:
    """At most this number of beats of each lead of each patient, evenly spread over the record; for a short trial.

    Args:
        normals: beats, in order of time within each lead.
        beats_per_lead: 0 = all.
    """
    if not beats_per_lead:
        return normals
    signals, kept = normals.signals, []
    for signal in np.unique(signals):
        rows = np.flatnonzero(signals == signal)
        kept.append(rows[np.linspace(0, rows.size - 1, min(beats_per_lead, rows.size)).astype(np.int64)])
    return normals.rows(np.sort(np.concatenate(kept)))
