"""Beats as the monitor cuts them: from a detector run over a record, or at its annotated R-peaks."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detector import BEAT_SAMPLES, Beat, Detector, Quality, advance_together, cut_beat, template_score
from detector.bandpass import Bandpass, qrs_delay_samples
from detector.sample_hold import SampleHold
from detector.short_repr import short_repr
from train.atomic_file import replace_file
from train.data.contexts import Contexts, record_contexts, stack_contexts
from train.data.records import LabelledBeats, Record, join_beats, read_record

__all__ = ["MATCH_S", "StreamedRecord", "annotated_beats", "labelled", "match_beats", "stream_beats", "streamed"]

MATCH_S: Final = 0.150  # EC57's tolerance between a detected and an annotated R-peak
_IN_STEP: Final = 8  # records; more gain little
_VERDICT_LETTERS: Final = max(len(quality.value) for quality in Quality)


@dataclass(frozen=True, slots=True)
class StreamedRecord:
    """One record as the detector processed it, beats in order of time.

    Many attributes: one array per column of the record's table of beats.

    Attributes:
        name: of the record.
        database: of the record.
        lead: name of the lead.
        fs_hz: sampling rate, Hz.
        samples: length of the record, samples.
        r_samples: (n,) int64, detected R-peaks.
        beats: (n, 187) float32, mV.
        rr_s: (n,) float64, interval to the previous R-peak, s; NaN = unknown.
        verdicts: (n,) str, quality of each beat, a value of `detector.Quality`.
        template_scores: (n,) float64, `detector.template_score`; NaN = none.
        templates: (n, 2, 187) float32, mV, the patient's two templates at the time of each beat; NaN = none.
        context_values: (n, 8) float32, `BeatContext.values`; NaN = unknown.
        previous: (n, 187) float32, mV, the previous beat; NaN = none.
        residuals: (n,) float64, shape distance to the template, in QRS amplitudes; NaN = none.
        rr_ratios: (n, 2) float64, RR over the median of the last 64 and of the last 8; NaN = unknown.
        annotated: (k,) int64, annotated R-peaks.
        annotated_labels: (k,) their classes.
        matched: (n,) int64, index of the annotated beat that matches each detected beat, -1 = false detection.
    """

    name: str
    database: str
    lead: str
    fs_hz: float
    samples: int
    r_samples: NDArray[np.int64]
    beats: NDArray[np.float32]
    rr_s: NDArray[np.float64]
    verdicts: NDArray[np.str_]
    template_scores: NDArray[np.float64]
    templates: NDArray[np.float32]
    context_values: NDArray[np.float32]
    previous: NDArray[np.float32]
    residuals: NDArray[np.float64]
    rr_ratios: NDArray[np.float64]
    annotated: NDArray[np.int64]
    annotated_labels: NDArray[np.str_]
    matched: NDArray[np.int64]

    __repr__ = short_repr

    @property
    def scorable(self) -> NDArray[np.bool_]:
        """(n,) bool, quality good."""
        good: NDArray[np.bool_] = self.verdicts == Quality.GOOD.value
        return good

    @property
    def contexts(self) -> Contexts:
        """Context of each beat."""
        return Contexts(self.templates, self.context_values, self.previous)


def match_beats(detected: NDArray[np.int64], annotated: NDArray[np.int64], tolerance: float) -> NDArray[np.int64]:
    """Match two rising sequences of samples greedily in order, each element at most once.

    Args:
        detected: (n,) rising.
        annotated: (k,) rising.
        tolerance: largest distance of a pair, samples, inclusive.

    Returns:
        (n,) int64, index into `annotated`, -1 = no match.
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


def stream_beats(names: Sequence[str], data_set: str = "mitdb", second: bool = False) -> Iterable[StreamedRecord]:
    """Run the detector over records, in order; annotations give only the labels.

    Results are stored in the user's cache; a change to any file of `detector` makes new entries. Records that are not
    in the cache are processed eight at a time, which share their calls.

    Args:
        names: records of the data set.
        data_set: `mitdb`, or another data set that `train.data.records.read_record` can read.
        second: True = the second lead of each record.
    """
    for first in range(0, len(names), _IN_STEP):
        paths = {name: _cache_path(name, data_set, second) for name in names[first : first + _IN_STEP]}
        known = {name: _cached(path) for name, path in paths.items()}
        computed = _run_detectors([read_record(name, data_set, second) for name in paths if known[name] is None])
        for name, path in paths.items():
            record = known[name]
            if record is None:
                record = next(computed)
                _store(path, record)
            yield record


def labelled(records: Iterable[StreamedRecord]) -> LabelledBeats:
    """Scorable detected beats with the class of the matching annotated beat, by record and in order of time."""
    parts = []
    for record in records:
        keep = record.scorable & (record.matched >= 0)
        labels = record.annotated_labels[record.matched[keep]]
        name, database, lead = (np.full(len(labels), word) for word in (record.name, record.database, record.lead))
        parts.append(LabelledBeats(record.beats[keep], labels, name, record.contexts.rows(keep), database, lead))
    return join_beats(parts)


def annotated_beats(record: Record) -> tuple[LabelledBeats, NDArray[np.int64]]:
    """Cut the beats of the stream definition at the annotated R-peaks.

    Returns:
        All annotated beats in order of time, and their R-peaks, (n,) int64 samples of the record.
    """
    bandpass = Bandpass(record.fs_hz)
    hold = SampleHold(record.fs_hz)
    stretches = [*hold.push(record.samples_mv), *hold.release()]
    filtered = bandpass.push(np.concatenate([stretch.filled for stretch in stretches]))
    delay = qrs_delay_samples(record.fs_hz)
    beats = np.empty((len(record.beat_samples), BEAT_SAMPLES), dtype=np.float32)
    for row, at in enumerate(record.beat_samples.tolist()):
        beats[row] = cut_beat(filtered, at + delay, record.fs_hz)
    rr_s = np.diff(record.beat_samples, prepend=np.nan) / record.fs_hz
    names = np.full(len(beats), record.name)
    labelled = LabelledBeats(beats, record.beat_labels, names, record_contexts(beats, rr_s))
    return labelled, record.beat_samples


def _cached(path: Path) -> StreamedRecord | None:
    """The cached record; None if it is absent or unusable."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            values = {field.name: arrays[field.name] for field in fields(StreamedRecord)}
        scalars = {key: values[key].item() for key in ("name", "database", "lead", "fs_hz", "samples")}
        return StreamedRecord(**(values | scalars))
    except (OSError, ValueError, KeyError):  # incomplete, or an older layout: compute it again
        path.unlink(missing_ok=True)
        return None


def _store(path: Path, record: StreamedRecord) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **{field.name: getattr(record, field.name) for field in fields(StreamedRecord)})
    replace_file(path, buffer.getvalue())


def _run_detectors(records: Sequence[Record]) -> Iterator[StreamedRecord]:
    """Run one detector per record."""
    detectors = [Detector(record.fs_hz) for record in records]
    pieces = [(detector, record.samples_mv, None) for detector, record in zip(detectors, records, strict=True)]
    for record, detector, events in zip(records, detectors, advance_together(pieces), strict=True):
        if isinstance(events, Exception):
            raise events
        yield streamed(record, [event for event in (*events, *detector.flush()) if isinstance(event, Beat)])


def streamed(record: Record, beats: Sequence[Beat]) -> StreamedRecord:
    """The beats that the monitor found in a record, as arrays."""
    r_samples = np.array([beat.r_sample for beat in beats], dtype=np.int64)
    samples = np.array([beat.samples for beat in beats], dtype=np.float32).reshape(-1, BEAT_SAMPLES)
    rr_s = _numbers([beat.rr_s for beat in beats])
    contexts = stack_contexts([beat.context for beat in beats], samples, rr_s)
    scores = [template_score(beat.residual, beat.rr_ratio, beat.rr_ratio_8) for beat in beats]
    return StreamedRecord(
        name=record.name,
        database=record.database,
        lead=record.lead,
        fs_hz=record.fs_hz,
        samples=len(record.samples_mv),
        r_samples=r_samples,
        beats=samples,
        rr_s=rr_s,
        verdicts=np.array([beat.quality.value for beat in beats], dtype=f"<U{_VERDICT_LETTERS}"),
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


def _cache_path(name: str, data_set: str, second: bool) -> Path:
    import platformdirs

    code = hashlib.sha256()
    detector = sorted(Path(str(resources.files("detector"))).glob("*.py"))
    here = Path(__file__)
    for path in (*detector, here.with_name("contexts.py"), here.with_name("records.py"), here):
        code.update(path.read_bytes())
    entry = f"{data_set}-{name}-{2 if second else 1}-{code.hexdigest()[:16]}.npz"
    return platformdirs.user_cache_path("ecg-monitor") / "streamed" / entry
