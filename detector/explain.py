"""Words for an unusual beat: how it differs from the patient's usual beat and rhythm.

`detector.findings` measures, `explain` turns numbers into words. Each word is a rule with one limit, taken from normal
beats of training patients: the 99 % quantile (1 % where small is unusual) of each DS1 patient's normal beats, and the
median of these over the patients, as `python -m train words` prints them. In the typical patient one normal beat in a
hundred would get the word. A stricter convention replaces the limit and is cited there. The words describe
measurements; they diagnose nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from detector.beats import Beat
from detector.findings import Findings

__all__ = ["LIMITS", "WORDS", "Word", "WordLimits", "explain", "pause"]


@dataclass(frozen=True, slots=True)
class WordLimits:
    """Limit of each word.

    Attributes:
        early: RR below this share of the usual.
        late: RR above this share of the usual.
        wider_ms: QRS longer than the usual by more than this, ms.
        wide_ms: and at least this long, ms: longer than a normal QRS (Surawicz et al. 2009,
            DOI 10.1161/CIRCULATIONAHA.108.191095).
        tall, small: QRS height, in usual heights.
        likeness: correlation with the usual QRS below which it is different; below 0 it is inverted.
        st_t: rms difference to the usual ST segment and T wave, in usual QRS heights.
        p_wave: share of the usual P wave found before R. Normal beats give 0.63, but a wave of which more than half is
            present is not missing.
        rough: rms second difference outside the QRS, in usual QRS heights. It does not depend on the patient's usual
            noise, so the quantile is over the normal beats of all patients, with equal weights.
        pause: RR after the beat, in usual RR. Normal beats give 1.13, but a pause should be visible; a dropped beat
            gives twice the usual RR, the compensatory pause after an ectopic beat lies in between.
    """

    early: float = 0.87
    late: float = 1.42
    wider_ms: float = 17.0
    wide_ms: float = 110.0
    tall: float = 1.23
    small: float = 0.8
    likeness: float = 0.95
    st_t: float = 0.085
    p_wave: float = 0.5
    rough: float = 0.095
    pause: float = 1.3


LIMITS: Final = WordLimits()


class Word(NamedTuple):
    """One word of an explanation, with its number.

    Attributes:
        word: one of `WORDS`.
        number: with its unit, e.g. `QRS 148 ms, usual 72`; may be empty.
    """

    word: str
    number: str = ""

    def __str__(self) -> str:
        return f"{self.word} ({self.number})" if self.number else self.word


WIDE, NARROW, INVERTED, DIFFERENT = "wide", "narrow", "inverted", "different QRS"
TALL, SMALL, ST_T, EARLY, LATE = "tall", "small", "different T wave", "early", "late"
NO_P, NOISY, PAUSE, SHAPE = "no usual P wave", "noisy", "then a pause", "unlikely shape"
WORDS: Final = (WIDE, NARROW, INVERTED, DIFFERENT, TALL, SMALL, ST_T, EARLY, LATE, NO_P, NOISY, PAUSE, SHAPE)


def explain(found: Findings, limits: WordLimits = LIMITS) -> tuple[Word, ...]:
    """The words of a beat, in fixed order: shape, then rhythm; `pause` comes after them.

    A word that follows from another one is left out: a wide or inverted QRS is also different, and has its own T wave
    (a secondary change). A noisy beat gets no word that noise can imitate: width, P wave and T wave.

    Args:
        found: the measurements.
        limits: limit of each word.

    Returns:
        At least one word: without any other, only the density found the beat unlikely.
    """
    noisy = found.rough is not None and found.rough > limits.rough
    if noisy:
        found = replace(found, qrs_ms=None, st_t=None, p_wave=None)
    words = _shape(found, limits)
    ratio = found.rr_ratio
    if ratio is not None and (ratio < limits.early or ratio > limits.late):
        words.append(Word(EARLY if ratio < 1 else LATE, f"RR {100 * ratio:.0f} % of usual"))
    if found.p_wave is not None and found.p_wave < limits.p_wave:
        words.append(Word(NO_P, f"{100 * found.p_wave:.0f} % of it" if found.p_wave >= 0.1 else "none seen"))
    if noisy and found.rough is not None:
        words.append(Word(NOISY, f"{100 * found.rough:.0f} % of the QRS"))
    if not words:
        words.append(Word(SHAPE))
    return tuple(words)


def pause(beat: Beat, after_s: float, ended: bool, limits: WordLimits = LIMITS) -> Word | None:
    """The word for a pause after a beat; None without a pause (yet), or if the usual RR is not known.

    Args:
        beat: the beat before.
        after_s: time from its R-peak to the next one, or so far without one, s.
        ended: whether there is a next R-peak.
        limits: limit of each word.
    """
    if beat.rr_s is None or not beat.rr_ratio:
        return None
    usual_s = beat.rr_s / beat.rr_ratio
    if after_s < limits.pause * usual_s:
        return None
    return Word(PAUSE, f"{'' if ended else 'over '}{after_s:.1f} s, usual RR {usual_s:.1f}")


def _shape(found: Findings, limits: WordLimits) -> list[Word]:
    words: list[Word] = []
    qrs_ms, usual_ms = found.qrs_ms, found.usual_qrs_ms
    if qrs_ms is not None and usual_ms is not None:
        number = f"QRS {qrs_ms:.0f} ms, usual {usual_ms:.0f}"
        if qrs_ms >= limits.wide_ms and qrs_ms > usual_ms + limits.wider_ms:
            words.append(Word(WIDE, number))
        elif usual_ms >= limits.wide_ms and qrs_ms < usual_ms - limits.wider_ms:
            words.append(Word(NARROW, number))
    if found.likeness is not None and found.likeness < 0:
        words.append(Word(INVERTED, f"likeness {found.likeness:.1f}"))
    elif found.likeness is not None and found.likeness < limits.likeness and not words:
        words.append(Word(DIFFERENT, f"likeness {found.likeness:.2f}"))
    own_t_wave = bool(words)
    if found.height is not None and not limits.small <= found.height <= limits.tall:
        words.append(Word(TALL if found.height > 1 else SMALL, f"{100 * found.height:.0f} % of usual"))
    if found.st_t is not None and found.st_t > limits.st_t and not own_t_wave:
        words.append(Word(ST_T, f"off by {100 * found.st_t:.0f} % of the QRS"))
    return words
