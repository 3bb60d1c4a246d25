"""Alarm engine, pure: detector events in, changes of alarms out; time is the sample clock.

Rules (after IEC 60601-1-8; docs/alarms.md): one alarm per cause, updated while it lasts; a higher alarm covers the
lower ones of the same cause; a high physiological alarm latches until it is acknowledged; a technical alarm never
latches; signal that cannot be scored raises no physiological alarm; nothing is computed across a gap.
"""

from __future__ import annotations

from monitor.alarms.engine import AlarmEngine

__all__ = ["AlarmEngine"]
