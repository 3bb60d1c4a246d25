"""Evidence that a wave is a QRS, from its height, its background and its likeness to the patient's known shapes.

The constants were chosen as those of `detector.rpeaks`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["Wave"]

# In nats, like log-odds; 0 = as likely a QRS as not. Height is relative to the geometric mean of usual height and
# background: logistic regression with the logarithms of height, background and usual height gave weights of 5.4,
# -2.7 and -2.7, and 5.2 for likeness. In the sequence a slightly smaller weight of height was better.
_HEIGHT_WEIGHT = 4.7
_LIKENESS_WEIGHT = 5.2
_PRIOR = -3.0
_QUIET = 0.1  # of the usual height: smallest background, or small waves in a silent stretch stand out too much
_SMALL, _OTHER_WEIGHT = 0.5, 2.0  # a wave under half the usual height that resembles a P or T wave more than a QRS
_KNOWN = 0.9  # likeness to a shape from which that shape's own height is the usual one
_NOISY, _NOISE_PRICE = 0.4, 6.0  # a background above 40 % of the usual height is noise, as are most of its peaks
_MOST, _LEAST = 5.0, -10.0


class Wave(NamedTuple):
    """A wave that may be a QRS.

    Attributes:
        place: its middle, samples.
        height, around: of its slope envelope, and the background of it, mV per sample.
        like, own_height, other, width: see `detector.qrs_shapes.Compared`.
    """

    place: int
    height: float
    around: float
    like: float
    own_height: float
    other: float
    width: float

    def likeness(self, usual: float) -> float:
        """Likeness to a QRS, at most 1; a small wave that resembles a P or T wave more has less, down to -2.

        Args:
            usual: usual height of a QRS, mV per sample.
        """
        if self.height >= _SMALL * usual:
            return self.like
        return self.like - _OTHER_WEIGHT * max(self.other - self.like, 0.0)

    def evidence(self, like: float, usual: float) -> float:
        """Evidence for being a QRS, nats, -10 to 5.

        Args:
            like: likeness to a QRS, -2 to 1.
            usual: usual height of a QRS, mV per sample.
        """
        wanted = min(self.own_height, usual) if self.like > _KNOWN else usual
        around = max(self.around, _QUIET * usual)
        evidence = (
            _HEIGHT_WEIGHT * math.log(self.height / math.sqrt(wanted * around)) + _LIKENESS_WEIGHT * like + _PRIOR
        )
        noise = math.log(max(1.0, around / (_NOISY * usual)))
        return min(max(evidence - _NOISE_PRICE * (1.0 - like) * noise, _LEAST), _MOST)
