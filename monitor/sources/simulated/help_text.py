"""What a scenario can contain, as text for the user."""

from __future__ import annotations

from monitor.sources.simulated.kinds import KINDS, Kind
from monitor.sources.simulated.scenario import DEFAULT_SCENARIO, RUN_OPTIONS
from monitor.sources.simulated.settings import HR_RANGE_BPM, option_fields

__all__ = ["EXAMPLES", "help_text"]

EXAMPLES = {
    "sim:sinus@80=30,standstill=300;mv=1.5;p=0.2": "standstill under large P waves",
    "sim:paced=30,capture_lost=20": "a pacemaker loses capture: pulses go on over a standstill",
    "sim:sinus=30,vt@240=20,vf=20;fs=500;polarity=-1;seed=7": "fast VT, then VF, in an inverted lead at 500 Hz",
}


def help_text() -> str:
    """Return grammar, kinds, options and examples, lines of at most 120 characters."""
    low, high = HR_RANGE_BPM
    lines = [
        'A scenario of the synthetic patient: --source "sim:KIND=SECONDS,KIND@RATE=SECONDS,...;OPTION=VALUE;..."',
        f"RATE is per minute, {low:g} to {high:g}. Options hold for the whole scenario. Without kinds:",
        f"  {DEFAULT_SCENARIO}",
        "",
        "Kinds, the rate they have without @RATE, and what they are:",
        *(f"  {name:<14}{_rate(kind):<6}{kind.text}{_rate_of(kind)}" for name, kind in KINDS.items()),
        "",
        "Options:",
        *(f"  {name:<14}{text}" for name, text in RUN_OPTIONS.items()),
    ]
    for option in option_fields():
        least, most = option.metadata["range"]
        default = "by the seed" if option.default is None else f"default {option.default:g}"
        lines.append(f"  {option.name:<14}{option.metadata['text']} ({least:g} to {most:g}, {default})")
    lines += ["", "Examples:"]
    for scenario, text in EXAMPLES.items():
        lines.append(f'  ecg-monitor --source "{scenario}"')
        lines.append(f"      {text}")
    return "\n".join(lines)


def _rate(kind: Kind) -> str:
    return "-" if not kind.rate_of else kind.rate if isinstance(kind.rate, str) else f"{kind.rate:g}"


def _rate_of(kind: Kind) -> str:
    return "" if kind.rate_of in ("", "heart rate") else f" (@ {kind.rate_of})"
