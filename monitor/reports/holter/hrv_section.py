"""The section of a report about heart rate variability, and whether the figures mean something for this record."""

from __future__ import annotations

from typing import Final

from monitor.reports.holter.elements import rows_table, share, value_text
from monitor.reports.holter.hrv import HeartRateVariability

__all__ = ["hrv_section"]

_LEFT_OUT: Final = 0.2  # of the analysed time that may be irregular, or not in NN intervals; as in the live figures
_NOTE: Final = (
    "Definitions of the Task Force of 1996 (doi:10.1161/01.CIR.93.5.1043). A figure without enough signal is left out "
    "(-). The figures describe sinus rhythm: studies leave out atrial fibrillation and frequent ectopic beats. Ectopic "
    "beats that were missed make the figures too high."
)


def hrv_section(hrv: HeartRateVariability, nn_s: float, irregular_s: float, analysed_s: float) -> str:
    """HTML of the section.

    Args:
        hrv: the figures.
        nn_s: sum of the NN intervals, s.
        irregular_s: time of irregular rhythm, s.
        analysed_s: time between scored beats, s.
    """
    rows = [
        (
            "NN intervals",
            str(hrv.intervals),
            f"of two usual beats, {share(nn_s, analysed_s)} of the analysed time",
        ),
        ("mean NN", value_text(hrv.mean_nn_ms, " ms"), "mean of all NN intervals"),
        ("SDNN", value_text(hrv.sdnn_ms, " ms", 1), "standard deviation of all NN intervals"),
        ("SDANN", value_text(hrv.sdann_ms, " ms", 1), "standard deviation of 5-min means"),
        ("RMSSD", value_text(hrv.rmssd_ms, " ms", 1), "root mean square of successive differences"),
        ("pNN50", "-" if hrv.pnn50 is None else f"{100 * hrv.pnn50:.1f} %", "successive differences above 50 ms"),
        ("LF", value_text(hrv.lf_ms2, " ms²"), "0.04 to 0.15 Hz"),
        ("HF", value_text(hrv.hf_ms2, " ms²"), "0.15 to 0.40 Hz"),
        ("LF/HF", value_text(hrv.lf_hf, "", 2), f"mean over {hrv.segments} segments of 5 min"),
    ]
    table = rows_table(("figure", "value", "meaning"), rows, left=(0, 2))
    doubt = _doubt(nn_s, irregular_s, analysed_s)
    return f"<section><h2>Heart rate variability</h2>{doubt}<p>{_NOTE}</p>{table}</section>"


def _doubt(nn_s: float, irregular_s: float, analysed_s: float) -> str:
    """What speaks against the figures of this record; empty if nothing does."""
    left_out_s, most_s = analysed_s - nn_s, _LEFT_OUT * analysed_s
    found = []
    if irregular_s > 0:
        found.append(f"irregular rhythm (suspected AF) in {share(irregular_s, analysed_s)} of the analysed time")
    if left_out_s > most_s:
        found.append(f"{share(left_out_s, analysed_s)} of the analysed time is beside anomalous beats")
    if not found:
        return ""
    heading = "Not meaningful for this record" if max(irregular_s, left_out_s) > most_s else "Read with care"
    return f"<p class=warn>{heading}: {'; '.join(found)}.</p>"
