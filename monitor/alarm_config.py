"""`[alarms]` of config.toml: the settings of each kind of alarm and their defaults."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from monitor.alarm_state import Priority

__all__ = ["CATEGORY_LIMITS", "KNOWN_KEYS", "AlarmsConfig", "KindConfig", "PatientCategory", "limits_of_category"]

PatientCategory = Literal["adult", "child", "neonate"]

NotNegative = Annotated[float, Meta(ge=0)]


class KindConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Settings of one kind of alarm. KNOWN_KEYS lists the keys that have a meaning for each kind.

    Attributes:
        priority: high, medium or low (IEC 60601-1-8).
        enabled: False: this kind is never raised.
        limit: value at which the alarm is raised; config.toml states its unit.
        beats: number of beats that the kind evaluates.
        relief: distance back within `limit` at which the condition ends, in the unit of `limit`.
        delay_s: time that the condition must last before the onset, s.
        hold_s: time that the alarm stays active after the condition, s; a recurrence within it is the same alarm.
        per_hour: maximum number of onsets per hour at low priority; 0 = no maximum.
        medium_s, high_s: time after which a condition that lasts has at least this priority, s; 0 = never.
        latch: `high`: at high priority the alarm stays active until acknowledged; `always`; `never`.
    """

    priority: Priority
    enabled: bool = True
    limit: NotNegative = 0.0
    beats: Annotated[int, Meta(ge=0, le=1000)] = 0
    relief: NotNegative = 0.0
    delay_s: NotNegative = 0.0
    hold_s: NotNegative = 0.0
    per_hour: Annotated[int, Meta(ge=0, le=3600)] = 0
    medium_s: NotNegative = 0.0
    high_s: NotNegative = 0.0
    latch: Literal["high", "always", "never"] = "high"


_RATE = {"limit", "beats", "relief", "delay_s", "hold_s", "latch"}
KNOWN_KEYS: dict[str, set[str]] = {  # kind -> keys besides priority and enabled
    "asystole": {"limit", "latch"},
    "ventricular_fibrillation": {"limit", "hold_s", "latch"},
    "ventricular_run": {"limit", "beats", "relief", "hold_s", "latch"},
    "extreme_bradycardia": _RATE,
    "extreme_tachycardia": _RATE,
    "anomaly_run": {"beats", "hold_s", "latch"},
    "anomaly_burden": {"limit", "relief", "delay_s", "hold_s", "latch"},
    "bradycardia": _RATE,
    "tachycardia": _RATE,
    "irregular_rhythm": {"limit", "beats", "relief", "hold_s", "per_hour", "latch"},
    "pause": {"limit", "hold_s", "latch"},
    "anomalous_beat": {"hold_s", "per_hour", "latch"},
    "leads_off": {"limit", "medium_s", "high_s"},
    "no_data": {"limit"},
    "source_lost": set(),
    "sampling_rate": {"limit"},
    "wrong_unit": set(),
    "poor_signal": {"limit", "medium_s", "high_s", "hold_s", "per_hour"},
    "calibration": {"medium_s", "high_s", "hold_s", "per_hour"},
    "gap": {"hold_s", "per_hour"},
    "overload": {"limit", "relief", "per_hour"},
    "journal_failed": set(),
}


# Limits, bpm, that replace the defaults below, which are an adult's. Child: Mindray TMS60 (50 to 120 for adults, 75 to
# 160 for children) and Edan Elite V6 (tachycardia from 160), extremes about 20 beyond, as Philips derives them.
# Neonate: the limits of a unit of intensive care, yellow 100 and 200, red 80 and 230 (Joshi et al. 2019, PMC6906083).
CATEGORY_LIMITS: Final[dict[PatientCategory, dict[str, float]]] = {
    "adult": {},
    "child": {"bradycardia": 75, "tachycardia": 160, "extreme_bradycardia": 60, "extreme_tachycardia": 180},
    "neonate": {"bradycardia": 100, "tachycardia": 200, "extreme_bradycardia": 80, "extreme_tachycardia": 230},
}


class AlarmsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[alarms.<kind>]`; docs/alarms.md gives the reasons for the limits.

    Raises:
        ValueError: a key that has no meaning for its kind, or fewer than 2 beats.

    Many attributes: one per kind of alarm.
    """

    asystole: KindConfig = KindConfig("high", limit=4.0)
    ventricular_fibrillation: KindConfig = KindConfig("high", limit=4.0, hold_s=6.0)
    ventricular_run: KindConfig = KindConfig("high", limit=100.0, beats=5, relief=5.0, hold_s=5.0)
    extreme_bradycardia: KindConfig = KindConfig("high", limit=40.0, beats=5, relief=5.0)
    extreme_tachycardia: KindConfig = KindConfig("high", limit=140.0, beats=17, relief=5.0)
    anomaly_run: KindConfig = KindConfig("medium", beats=3, hold_s=10.0)
    anomaly_burden: KindConfig = KindConfig("medium", limit=10.0, relief=3.0, hold_s=60.0)
    bradycardia: KindConfig = KindConfig("medium", limit=45.0, beats=5, relief=5.0, hold_s=10.0)
    tachycardia: KindConfig = KindConfig("medium", limit=120.0, beats=14, relief=5.0, hold_s=10.0)
    pause: KindConfig = KindConfig("medium", limit=3.0, hold_s=10.0)
    irregular_rhythm: KindConfig = KindConfig("low", limit=33.0, beats=25, relief=8.0, hold_s=20.0, per_hour=20)
    anomalous_beat: KindConfig = KindConfig("low", hold_s=10.0, per_hour=20)
    leads_off: KindConfig = KindConfig("medium", limit=1.0)
    no_data: KindConfig = KindConfig("medium", limit=2.0)
    source_lost: KindConfig = KindConfig("medium")
    sampling_rate: KindConfig = KindConfig("medium", limit=2.0)
    wrong_unit: KindConfig = KindConfig("medium")
    poor_signal: KindConfig = KindConfig("low", limit=2.0, medium_s=30.0, high_s=60.0, hold_s=2.0, per_hour=20)
    calibration: KindConfig = KindConfig("low", medium_s=60.0, hold_s=3.0, per_hour=20)
    gap: KindConfig = KindConfig("low", hold_s=10.0, per_hour=20)
    overload: KindConfig = KindConfig("low", limit=5.0, relief=4.0, per_hour=20)
    journal_failed: KindConfig = KindConfig("medium")

    def __post_init__(self) -> None:
        usual = dict(zip(KindConfig.__struct_fields__[1:], KindConfig.__struct_defaults__, strict=True))  # no priority
        for kind, known in KNOWN_KEYS.items():
            config: KindConfig = getattr(self, kind)
            for key, value in usual.items():
                if key not in known | {"enabled"} and getattr(config, key) != value:
                    names = ", ".join(["enabled", "priority", *sorted(known)])
                    raise ValueError(f"alarms.{kind} has no key {key}; it has {names}")
            if "beats" in known and config.beats < 2:
                raise ValueError(f"alarms.{kind}.beats={config.beats}: give at least 2")


def limits_of_category(alarms: AlarmsConfig, patient: PatientCategory) -> AlarmsConfig:
    """The settings with the limits of this category where they have the default, so that limits given by hand stay."""
    usual, changed = AlarmsConfig(), {}
    for kind, limit in CATEGORY_LIMITS[patient].items():
        given: KindConfig = getattr(alarms, kind)
        if given.limit == getattr(usual, kind).limit:
            changed[kind] = msgspec.structs.replace(given, limit=float(limit))
    return msgspec.structs.replace(alarms, **changed) if changed else alarms
