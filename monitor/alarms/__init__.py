"""The alarm engine: pure. What the detector says goes in, changes of alarms come out; time is the sample clock.

Rules (IEC 60601-1-8 in spirit; docs/alarms.md): one alarm per cause, updated while it lasts; the higher alarm covers
the lower of the same cause; a high physiological alarm latches until somebody acknowledges it; a technical alarm
never latches; no physiological alarm out of signal that cannot be scored; nothing is computed across a gap.
"""

from __future__ import annotations

from monitor.alarms.engine import AlarmEngine

__all__ = ["AlarmEngine"]
