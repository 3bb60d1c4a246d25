"""A recording as the monitor judges it: signal, beats with what the model saw, verdicts, alarms, status."""

from __future__ import annotations

import contextlib
import datetime
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detector import BEAT_SAMPLES, CONTEXT_FIELDS, Beat, Gap, Scorer
from detector.bandpass import qrs_delay_samples
from monitor.config import Config, SourceConfig
from monitor.demo.annotations import classes_of
from monitor.demo.recordings import Recording
from monitor.engine.bed import Bed
from monitor.engine.bed_plan import BedPlan, open_bed
from monitor.messages import Alarm, AlarmMessage, BeatMessage
from monitor.sources import Notice

__all__ = ["UV_PER_COUNT", "JudgedRecording", "judge_recording"]

UV_PER_COUNT: Final = 1.0  # of the int16 signal: up to 32.7 mV
NO_SAMPLE: Final = -32768  # int16 in place of NaN
_PIECE_S: Final = 1.0  # per read: the status is taken once per piece
_BEAT_FIELDS: Final = (
    "r_sample", "rr_s", "p_value", "threshold", "anomalous", "quality", "heart_rate_bpm", "words", "paced",
)  # fmt: skip
_ALARM_FIELDS: Final = (
    "alarm_id", "kind", "category", "priority", "state", "onset_sample", "decided_sample", "text", "count", "update",
)  # fmt: skip
_STARTED: Final = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)


class JudgedRecording:
    """The output of a bed, collected; `facts` and `arrays` are what the page reads.

    Args:
        recording: what is judged.
        bed: of the recording.
    """

    def __init__(self, recording: Recording, bed: Bed) -> None:
        self._recording = recording
        self._bed = bed
        self._beats: list[Beat] = []
        self._messages: list[BeatMessage] = []
        self._scores: list[tuple[float, float]] = []  # log p, score; of scored beats
        self._alarms: list[dict[str, Any]] = []
        self._pulses: list[int] = []
        self._status: list[list[Any]] = []
        self._signal: list[NDArray[np.float32]] = []
        self._read_to = 0

    # -- output of the bed ---------------------------------------------------------------------------------------

    def alarm(self, bed: Bed, message: AlarmMessage) -> None:  # noqa: ARG002
        """Keep a changed alarm."""
        alarm = msgspec.to_builtins(message.alarm)
        self._alarms.append({name: alarm[name] for name in _ALARM_FIELDS})

    def beat(self, bed: Bed, message: BeatMessage) -> None:  # noqa: ARG002
        """Keep the verdict on a beat."""
        self._messages.append(message)

    def pacer(self, bed: Bed, samples: tuple[int, ...]) -> None:  # noqa: ARG002
        """Keep pacing pulses."""
        self._pulses += samples

    def gap(self, bed: Bed, gap: Gap) -> None:
        """Missing samples: they are NaN in the signal."""

    def notice(self, bed: Bed, notice: Notice) -> None:
        """An event of the source: the page shows none."""

    def strip(self, bed: Bed, alarm: Alarm, first_sample: int, samples: NDArray[np.float32]) -> None:
        """A strip: the page has the whole signal."""

    # -- judging -------------------------------------------------------------------------------------------------

    def judge(self, scorer: Scorer) -> None:
        """Read the bed to its end."""
        bed = self._bed
        while not bed.ended:
            bed.process(round(_PIECE_S * bed.source.fs_hz), self)
            if not self._signal:
                self._read_to = bed.input.first_sample
            unscored = bed.input.unscored
            events = bed.input.take_events()
            scores = scorer.score_beats(unscored)
            self._beats += [event for event in events if isinstance(event, Beat)]
            self._scores += zip(scores.log_prob.tolist(), scores.score.tolist(), strict=True)
            bed.settle(scores, self, events)
            self._keep_signal()
            self._keep_status()

    def _keep_signal(self) -> None:
        history = self._bed.input.history
        n = history.filtered_end - self._read_to
        if n > 0:
            self._signal.append(history.get(self._read_to, n))
            self._read_to += n

    def _keep_status(self) -> None:
        bed = self._bed
        status = bed.status()
        rate = None if status.heart_rate_bpm is None else round(status.heart_rate_bpm)
        row = [bed.now, rate, status.rhythm, status.quality, status.scorable]
        if not bed.ended and (not self._status or self._status[-1][1:] != row[1:]):
            self._status.append(row)

    # -- what the page reads --------------------------------------------------------------------------------------

    def facts(self) -> dict[str, Any]:
        """Everything but the arrays, for JSON. Samples are those of the source."""
        recording, source = self._recording, self._bed.source
        first = self._bed.input.first_sample
        r_samples = np.array([beat.r_sample for beat in self._beats], np.int64)
        classes = classes_of(recording, r_samples, source.fs_hz)
        rows = []
        for at, message in enumerate(self._messages):
            row = {name: getattr(message, name) for name in _BEAT_FIELDS}
            row["decided"] = self._beats[at].decided_sample
            rows.append(row if classes is None else row | {"class": classes[at]})
        status = self._bed.status()
        return {
            "key": recording.key,
            "title": recording.title,
            "text": recording.text,
            "spec": recording.spec,
            "credit": recording.credit,
            "training": recording.training,
            "annotated": classes is not None,
            "lead": source.lead,
            "fs_hz": source.fs_hz,
            "first_sample": first,
            "delay_samples": qrs_delay_samples(source.fs_hz),  # of the filtered signal, at the R-peak
            "uv_per_count": UV_PER_COUNT,
            "rate_low_bpm": msgspec.to_builtins(status.rate_low_bpm),
            "rate_high_bpm": msgspec.to_builtins(status.rate_high_bpm),
            "beats": rows,
            "alarms": self._alarms,
            "pulses": self._pulses,
            "status": self._status,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays by name: signal (2, n) int16 raw and filtered; beats, values, templates and scores as the model has
        them; `template_of` is the row of `templates` of each beat, -1 = none.
        """
        n = len(self._beats)
        values = np.full((n, len(CONTEXT_FIELDS)), np.nan, np.float32)
        template_of = np.full(n, -1, np.int32)
        templates: list[NDArray[np.float32]] = []
        known: dict[tuple[int, int], int] = {}
        scores = np.full((n, 2), np.nan, np.float32)
        scored = iter(self._scores)
        for row, beat in enumerate(self._beats):
            if beat.scorable:
                scores[row] = next(scored)
            if beat.context is None:
                values[row, 0] = np.nan if beat.rr_s is None else beat.rr_s
                continue
            values[row] = beat.context.values
            pair = (beat.context.template, beat.context.steady)
            key = (id(pair[0]), id(pair[1]))  # the beats hold them: no two share an id
            if key not in known:
                known[key] = len(templates)
                templates.append(np.stack(pair))
            template_of[row] = known[key]
        return {
            "signal": _int16(np.concatenate(self._signal, axis=1) if self._signal else np.empty((2, 0), np.float32)),
            "beats": np.array([beat.samples for beat in self._beats], np.float32).reshape(n, BEAT_SAMPLES),
            "values": values,
            "template_of": template_of,
            "templates": np.array(templates, np.float32).reshape(len(templates), 2, BEAT_SAMPLES),
            "scores": scores,
        }


def judge_recording(recording: Recording, scorer: Scorer) -> JudgedRecording:
    """Run the monitor over a recording, with its default settings.

    Raises:
        SourceError: it cannot be read.
    """
    options = SourceConfig(spec=recording.spec, start_s=recording.start_s, duration_s=recording.duration_s)
    config = Config(source=options)
    with contextlib.closing(open_bed(BedPlan(recording.key, options), config)) as source:
        bed = Bed(recording.key, source, config, scorer, lambda: 0.0, _STARTED, paced=False)
        judged = JudgedRecording(recording, bed)
        judged.judge(scorer)
    return judged


def _int16(signal: NDArray[np.float32]) -> NDArray[np.int16]:
    """Counts of `UV_PER_COUNT`; `NO_SAMPLE` in place of NaN."""
    counts = np.clip(np.round(np.nan_to_num(signal) * 1000.0 / UV_PER_COUNT), NO_SAMPLE + 1, 32767)
    return np.where(np.isnan(signal), NO_SAMPLE, counts).astype(np.int16)
