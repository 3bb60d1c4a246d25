"""Beats as the monitor cuts them: from a detector run over a record, or at its annotated R-peaks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector import BEAT_SAMPLES, Beat, Detector, advance_together, cut_beat, template_score
from detector.bandpass import Bandpass, design_bandpass
from train.data.contexts import Contexts, record_contexts, stack_contexts
from train.data.records import LabelledBeats, Record, join_beats, read_record

__all__ = [
    "MATCH_S",
    "StreamedRecord",
    "annotated_beats",
    "delay_samples",
    "labelled_stream",
    "match_beats",
    "stream_beats",
]

MATCH_S: Final = 0.150  # EC57's tolerance between a detected and an annotated R-peak
_IN_STEP: Final = 8  # records: most of what there is to gain


@dataclass(frozen=True, slots=True)
class StreamedRecord:
    """One record as the detector saw it, beats in order of time.

    Attributes:
        name: of the record.
        fs_hz: sampling rate, Hz.
        samples: length of the record, samples.
        r_samples: (n,) int64, detected R-peaks.
        beats: (n, 187) float32, mV.
        rr_s: (n,) float64, interval to the R-peak before, s; NaN where not known.
        scorable: (n,) bool, quality good.
        template_scores: (n,) float64, `detector.template_score`; NaN where there is none.
        templates: (n, 2, 187) float32, mV, the patient's two templates as each beat met them; NaN where none.
        context_values: (n, 8) float32, `BeatContext.values`; NaN where not known.
        previous: (n, 187) float32, mV, the beat before; NaN where none.
        residuals: (n,) float64, shape distance to it, in QRS amplitudes; NaN where there was none.
        rr_ratios: (n, 2) float64, RR over the median of the last 64 and of the last 8; NaN where not known.
        annotated: (k,) int64, annotated R-peaks.
        annotated_labels: (k,) their classes.
        matched: (n,) int64, index of the annotated beat each detected one is, -1 = none (a false detection).
    """

    name: str
    fs_hz: float
    samples: int
    r_samples: NDArray[np.int64]
    beats: NDArray[np.float32]
    rr_s: NDArray[np.float64]
    scorable: NDArray[np.bool_]
    template_scores: NDArray[np.float64]
    templates: NDArray[np.float32]
    context_values: NDArray[np.float32]
    previous: NDArray[np.float32]
    residuals: NDArray[np.float64]
    rr_ratios: NDArray[np.float64]
    annotated: NDArray[np.int64]
    annotated_labels: NDArray[np.str_]
    matched: NDArray[np.int64]

    @property
    def contexts(self) -> Contexts:
        """What was usual for the patient at each beat."""
        return Contexts(self.templates, self.context_values, self.previous)


def match_beats(detected: NDArray[np.int64], annotated: NDArray[np.int64], tolerance: float) -> NDArray[np.int64]:
    """Match two rising sequences of samples greedily in order, each element at most once.

    Args:
        detected: (n,) rising.
        annotated: (k,) rising.
        tolerance: largest distance of a pair, samples, inclusive.

    Returns:
        (n,) int64, index into `annotated`, -1 where nothing is near.
    """
    matched = np.full(len(detected), -1, dtype=np.int64)
    found, wanted = detected.tolist(), annotated.tolist()
    i = k = 0
    while i < len(found) and k < len(wanted):
        if abs(found[i] - wanted[k]) <= tolerance:
            matched[i] = k
            i, k = i + 1, k + 1
        elif found[i] < wanted[k]:
            i += 1
        else:
            k += 1
    return matched


def stream_beats(names: Sequence[str], cache: bool = True, data_set: str = "mitdb") -> Iterable[StreamedRecord]:
    """Run the detector over records, in order, nothing taken from the annotations but the labels.

    Those that are not in the cache go in step, some at a time, which costs two thirds of one after the other.

    Args:
        names: records of the data set.
        cache: keep the result in the user's cache (a record takes a second); a change to any file of
            `detector` makes a new entry.
        data_set: `mitdb`, or another whose annotated beats `train.data.records.read_record` reads.
    """
    for first in range(0, len(names), _IN_STEP):
        paths = {name: _cache_path(name, data_set) if cache else None for name in names[first : first + _IN_STEP]}
        known = {name: None if path is None else _cached(path) for name, path in paths.items()}
        made = _run_detectors([read_record(name, data_set) for name in paths if known[name] is None])
        for name, path in paths.items():
            streamed = known[name]
            if streamed is None:
                streamed = next(made)
                if path is not None:
                    _put(path, streamed)
            yield streamed


def labelled_stream(names: Sequence[str]) -> LabelledBeats:
    """Scorable detected beats that match an annotated one, with its class, in order of time within a record."""
    parts = []
    for record in stream_beats(names):
        keep = record.scorable & (record.matched >= 0)
        labels = record.annotated_labels[record.matched[keep]]
        names_of = np.full(len(labels), record.name)
        parts.append(LabelledBeats(record.beats[keep], labels, names_of, record.contexts.rows(keep)))
    return join_beats(parts)


def annotated_beats(record: Record) -> tuple[LabelledBeats, NDArray[np.int64]]:
    """Cut the beats of the stream definition at the annotated R-peaks.

    Returns:
        All annotated beats in order of time, and their R-peaks, (n,) int64 samples of the record.
    """
    bandpass = Bandpass(record.fs_hz)
    filtered = bandpass.push(_without_gaps(record.samples_mv))
    delay = delay_samples(record.fs_hz)
    beats = np.empty((len(record.beat_samples), BEAT_SAMPLES), dtype=np.float32)
    for row, at in enumerate(record.beat_samples.tolist()):
        beats[row] = cut_beat(filtered, at + delay, record.fs_hz)
    rr_s = np.diff(record.beat_samples, prepend=np.nan) / record.fs_hz
    names = np.full(len(beats), record.name)
    labelled = LabelledBeats(beats, record.beat_labels, names, record_contexts(beats, rr_s))
    return labelled, record.beat_samples


def delay_samples(fs_hz: float) -> int:
    """By how many samples the causal band-pass delays a QRS complex, as the detector takes it off."""
    from scipy.signal import group_delay, sos2tf

    return round(float(group_delay(sos2tf(design_bandpass(fs_hz)), [15.0], fs=fs_hz)[1][0]))


def _cached(path: Path) -> StreamedRecord | None:
    """What the cache holds; None where it has nothing, or nothing that can be used."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            values = {field.name: arrays[field.name] for field in fields(StreamedRecord)}
        scalars = {key: values[key].item() for key in ("name", "fs_hz", "samples")}
        return StreamedRecord(**(values | scalars))
    except (OSError, ValueError, KeyError):  # half a file, an older layout: make it anew
        path.unlink(missing_ok=True)
        return None


def _put(path: Path, streamed: StreamedRecord) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npz")
    np.savez(part, **{field.name: getattr(streamed, field.name) for field in fields(StreamedRecord)})
    part.replace(path)


def _run_detectors(records: Sequence[Record]) -> Iterator[StreamedRecord]:
    """Each record as its detector saw it, in order."""
    detectors = [Detector(record.fs_hz) for record in records]
    pieces = [(detector, record.samples_mv, None) for detector, record in zip(detectors, records, strict=True)]
    for record, detector, events in zip(records, detectors, advance_together(pieces), strict=True):
        if isinstance(events, Exception):
            raise events
        yield _streamed(record, [event for event in (*events, *detector.flush()) if isinstance(event, Beat)])


def _streamed(record: Record, beats: list[Beat]) -> StreamedRecord:
    r_samples = np.array([beat.r_sample for beat in beats], dtype=np.int64)
    samples = np.array([beat.samples for beat in beats], dtype=np.float32).reshape(-1, BEAT_SAMPLES)
    rr_s = _numbers([beat.rr_s for beat in beats])
    contexts = stack_contexts([beat.context for beat in beats], samples, rr_s)
    scores = [template_score(beat.residual, beat.rr_ratio, beat.rr_ratio_8) for beat in beats]
    return StreamedRecord(
        name=record.name,
        fs_hz=record.fs_hz,
        samples=len(record.samples_mv),
        r_samples=r_samples,
        beats=samples,
        rr_s=rr_s,
        scorable=np.array([beat.scorable for beat in beats], dtype=np.bool_),
        template_scores=_numbers(scores),
        templates=contexts.templates,
        context_values=contexts.values,
        previous=contexts.previous,
        residuals=_numbers([beat.residual for beat in beats]),
        rr_ratios=np.stack(
            (_numbers([beat.rr_ratio for beat in beats]), _numbers([beat.rr_ratio_8 for beat in beats])), axis=1
        ),
        annotated=record.beat_samples,
        annotated_labels=record.beat_labels,
        matched=match_beats(r_samples, record.beat_samples, MATCH_S * record.fs_hz),
    )


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    """(n,) float64, NaN for None."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _cache_path(name: str, data_set: str) -> Path:
    import platformdirs

    code = hashlib.sha256()
    for folder in ("detector", "train"):
        for entry in sorted(resources.files(folder).iterdir(), key=lambda entry: entry.name):
            if entry.name.endswith(".py") and (
                folder == "detector" or entry.name in ("contexts.py", "data.py", "streamed.py")
            ):
                code.update(entry.read_bytes())
    return platformdirs.user_cache_path("ecg-monitor") / "streamed" / f"{data_set}-{name}-{code.hexdigest()[:16]}.npz"


def _without_gaps(samples_mv: NDArray[np.float64]) -> NDArray[np.float64]:
    """Invalid samples hold the last valid value (0 at the start)."""
    valid = ~np.isnan(samples_mv)
    last = np.maximum.accumulate(np.where(valid, np.arange(len(samples_mv)), -1))
    return np.where(last >= 0, samples_mv[last], 0.0)
