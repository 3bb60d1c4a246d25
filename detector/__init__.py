"""Real-time ECG on plain numpy: arrays in, values out. No torch, no sockets, no clock.

    >>> import numpy as np
    >>> from detector import Detector
    >>> detector = Detector(fs_hz=250)
    >>> for beat in detector.push(np.zeros(100)):
    ...     print(beat.r_sample, beat.rr_s)

`Detector` finds the beats, `Scorer` scores them, `PatientReference` sets the score against the patient.
"""

from detector.baseline import (
    Calibration,
    Judgement,
    PatientReference,
    calibrate,
)
from detector.beats import (
    BEAT_DEFINITION,
    BEAT_FS_HZ,
    BEAT_SAMPLES,
    CONTEXT_FIELDS,
    QRS,
    QRS_AND_T,
    R_INDEX,
    Beat,
    BeatContext,
    cut_beat,
    template_score,
)
from detector.events import Event, Gap, GapEffect, LeadChange, QualitySpan, RhythmSpan, Tick
from detector.leads import LeadChoice
from detector.phases import advance_together
from detector.quality import Quality
from detector.scorer import ModelError, Scorer, Scores, shipped_model
from detector.stream import BRIDGE_S, Detector
from detector.template import PatientTemplate
from detector.two_lead_reference import TwoLeadReference

__all__ = [
    "BEAT_DEFINITION",
    "BEAT_FS_HZ",
    "BEAT_SAMPLES",
    "BRIDGE_S",
    "CONTEXT_FIELDS",
    "QRS",
    "QRS_AND_T",
    "R_INDEX",
    "Beat",
    "BeatContext",
    "Calibration",
    "Detector",
    "Event",
    "Gap",
    "GapEffect",
    "Judgement",
    "LeadChange",
    "LeadChoice",
    "ModelError",
    "PatientReference",
    "PatientTemplate",
    "Quality",
    "QualitySpan",
    "RhythmSpan",
    "Scorer",
    "Scores",
    "Tick",
    "TwoLeadReference",
    "advance_together",
    "calibrate",
    "cut_beat",
    "shipped_model",
    "template_score",
]
