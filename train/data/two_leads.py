"""Beats of both leads of a record, as the monitor finds them with `--channel A,B`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector import Beat, Detector, LeadChoice
from detector.short_repr import short_repr
from train.data.detected_beats import StreamedRecord, streamed
from train.data.records import read_record

__all__ = ["TwoLeadRecord", "stream_two_leads"]


@dataclass(frozen=True, slots=True)
class TwoLeadRecord:
    """One record as the monitor processed its two leads, n beats in order of time.

    Attributes:
        given: the beats, each in the lead in which it was given.
        other: the same beats in the other lead; those of `given` where they are not scored in both.
        lead: (n,) int64, the lead of each beat of `given`, 0 or 1.
        both: (n,) bool, the beat is scored in both leads.
    """

    given: StreamedRecord
    other: StreamedRecord
    lead: NDArray[np.int64]
    both: NDArray[np.bool_]

    __repr__ = short_repr


def stream_two_leads(names: Sequence[str], data_set: str = "mitdb") -> Iterator[TwoLeadRecord]:
    """Run a detector over each lead of records, and choose between them; annotations give only the labels.

    Args:
        names: records of the data set, with two signals each.
        data_set: see `train.data.detected_beats.stream_beats`.
    """
    for name in names:
        records = [read_record(name, data_set, second) for second in (False, True)]
        choice = LeadChoice(records[0].fs_hz)
        detectors = [Detector(record.fs_hz) for record in records]
        found = [detector.advance(record.samples_mv) for detector, record in zip(detectors, records, strict=True)]
        events = [*choice.put(*found), *choice.flush(*(detector.flush() for detector in detectors))]
        beats = [event for event in events if isinstance(event, Beat)]
        yield TwoLeadRecord(
            given=streamed(records[0], beats),
            other=streamed(records[0], [beat if beat.other is None else beat.other for beat in beats]),
            lead=np.array([beat.lead for beat in beats], dtype=np.int64),
            both=np.array([beat.other is not None for beat in beats], dtype=np.bool_),
        )
