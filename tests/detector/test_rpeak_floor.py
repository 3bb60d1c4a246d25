"""R-peak quality on real records has a floor that no change may lower."""

from __future__ import annotations

import multiprocessing
import os
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from detector import Detector, Event, Tick, advance_together
from tests.detector.helpers_signals import LEARNING_S, MATCH_S, match, read_beats, read_lead, record_names, run

FS_HZ = 360.0
IN_STEP = 6
SE_FLOOR, PPV_FLOOR = 0.998, 0.995  # everything counted
PPV_FLOOR_OUTSIDE_FLUTTER = 0.998
WORST_RECORD_FLOOR = 0.98  # the lower of Se and +P, flutter left out


def flutter(folder: Path, name: str) -> list[tuple[int, int]]:
    """Ventricular flutter or fibrillation, first and last sample: from `[` to `]`.

    EC57 compares no beats there: the annotations mark waves (`!`), not beats.
    """
    import wfdb

    marks = wfdb.rdann(str(folder / "mitdb" / name), "atr")
    at = {kind: [t for t, symbol in zip(marks.sample, marks.symbol, strict=True) if symbol == kind] for kind in "[]"}
    return [(int(begin), int(end)) for begin, end in zip(at["["], at["]"], strict=True)]


def count(job: tuple[Path, list[str]]) -> list[tuple[str, int, int, int, int]]:
    """(record, matched, annotated, detected, detected outside flutter) of lead 1 of each, the first 10 s left out."""
    folder, names = job
    detectors = [Detector(FS_HZ) for _ in names]
    pieces = [(detector, read_lead(folder, name), None) for detector, name in zip(detectors, names, strict=True)]
    counts = []
    for name, detector, events in zip(names, detectors, advance_together(pieces), strict=True):  # together: faster
        assert isinstance(events, list)
        counts.append(_compare(folder, name, r_samples([*events, *detector.flush()])))
    return counts


def r_samples(events: list[Event]) -> list[int]:
    return [r for event in events if isinstance(event, Tick) for r in event.r_samples]


def _compare(folder: Path, name: str, found: list[int]) -> tuple[str, int, int, int, int]:
    first = LEARNING_S * FS_HZ
    wanted = [int(sample) for sample in read_beats(folder, name) if sample >= first]
    found = [sample for sample in found if sample >= first]
    episodes = flutter(folder, name)
    outside = [r for r in found if not any(begin <= r <= end for begin, end in episodes)]
    assert not any(begin <= r <= end for r in wanted for begin, end in episodes)  # so Se is the same for both
    return name, len(match(found, wanted, MATCH_S * FS_HZ)), len(wanted), len(found), len(outside)


@pytest.mark.slow
@pytest.mark.timeout(900)  # a minute on two free cores
def test_all_48_records(data_folder: Path) -> None:
    names = record_names(data_folder)
    assert len(names) == 48
    context = multiprocessing.get_context("spawn")  # a fork would inherit the threads of earlier tests
    with context.Pool(min(2, os.cpu_count() or 1)) as pool:
        jobs = [(data_folder, names[first::IN_STEP]) for first in range(IN_STEP)]
        counts = list(chain.from_iterable(pool.map(count, jobs, chunksize=1)))
    matched, annotated, detected, outside = np.sum([row[1:] for row in counts], axis=0)
    quality = sorted((matched / max(annotated, outside), name) for name, matched, annotated, _, outside in counts)
    print(f"Se {matched / annotated:.4%}, +P {matched / detected:.4%}, outside flutter {matched / outside:.4%}")
    print("worst records, flutter left out:", quality[:5])
    assert annotated > 108_000
    assert detected > outside  # 207 has flutter
    assert matched / annotated >= SE_FLOOR, quality[:5]
    assert matched / detected >= PPV_FLOOR, quality[:5]
    assert matched / outside >= PPV_FLOOR_OUTSIDE_FLUTTER, quality[:5]
    assert quality[0][0] >= WORST_RECORD_FLOOR, quality[:5]


@pytest.mark.parametrize("minutes", [10, pytest.param(31, marks=pytest.mark.slow)])
def test_r_peaks_of_record_100(data_folder: Path, minutes: int) -> None:
    """All beats are found, and the filter's delay is subtracted: the median offset is within a sample of zero."""
    signal = read_lead(data_folder, "100")[: round(minutes * 60 * FS_HZ)]
    found = np.array(r_samples(run(Detector(FS_HZ), [signal])))
    wanted = read_beats(data_folder, "100")
    found, wanted = (at[(at >= LEARNING_S * FS_HZ) & (at < signal.size)] for at in (found, wanted))
    pairs = match(found, wanted, MATCH_S * FS_HZ)
    assert len(pairs) >= wanted.size - 2  # one ends with the signal, one is a ventricular beat
    assert found.size <= wanted.size
    offset = np.array([detected - annotated for detected, annotated in pairs])
    print(f"offset: median {np.median(offset)}, 5 to 95 % {np.quantile(offset, (0.05, 0.95))}")
    assert abs(np.median(offset)) <= 1
    assert np.quantile(np.abs(offset), 0.95) <= 2
