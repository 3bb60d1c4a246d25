"""The figures of `tools/study.py alarms` as Markdown, for docs/alarms.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from common.pages import markdown_table, wrapped

from studies.runs import Runs
from studies.truth import WITHIN_S

_PRIORITIES: Final = ("high", "medium", "low")
_GOALS: Final = {
    "onsets alarmed within 10 s": "≥ 90 %",
    "records with all, or the first, onset alarmed within 10 s": "≥ 90 %",
    "median / worst time to alarm": "≤ 10 s",
    "false high alarms before the first onset": "",
    "... an hour": "< 0.5",
}
_EPISODES: Final = {
    "ventricular_fibrillation": "ventricular flutter (207)",
    "ventricular_run": "5 or more ventricular beats at over 100 bpm",
    "asystole": "no beat for 4.2 s or longer",
    "pause": "no beat for 3.2 to 4.2 s (or `pause`)",
    "extreme_tachycardia": "17 beats at over 140 bpm",
    "extreme_bradycardia": "5 beats at under 40 bpm",
}
_RATIOS: Final = {"e24": "24 dB", "e18": "18 dB", "e12": "12 dB", "e06": "6 dB", "e00": "0 dB", "e_6": "-6 dB"}

Run = dict[str, Any]
Each = dict[str, Any]
"""An alarm or an episode of a run."""


def alarms_table(study: Runs) -> str:
    """A part for each data set."""
    if not study.runs:
        return "Not measured yet: `python tools/study.py alarms`."
    parts: list[str] = []
    for name, make in {"cudb": _cudb, "mitdb": _mitdb, "nstdb": _nstdb}.items():
        runs = [run for _, run in sorted(study.runs.items()) if run["set"] == name]
        parts += make(runs) if runs else []
    command = f"Measured by `{study.command}`; " if study.command else ""
    parts.append(f"{command}model `{study.model[:12]}`; no random numbers.")
    return "\n\n".join(parts)


def _cudb(runs: Sequence[Run]) -> list[str]:
    odd = [run for run in runs if int(run["record"][2:]) % 2 == 1]
    columns = {"odd records": odd, "even records": [run for run in runs if run not in odd], "all": runs}
    cells = zip(_GOALS, *map(_onsets, columns.values()), _GOALS.values(), strict=True)
    kinds = ", ".join(f"`{kind}` {n}" for kind, n in _by(_all(runs, "episodes")))
    false = [
        f"{run['record']}: " + ", ".join(f"`{alarm['kind']}` {alarm['decided_s']:.0f} s" for alarm in early)
        for run in runs
        if (early := _false_before(run))
    ]
    return [
        markdown_table(["**cudb: ventricular fibrillation**", *columns, "goal"], list(cells), "lrrrl"),
        wrapped(f"First alarm: {kinds}. {_late(runs, kinds=False)}"),
        wrapped(f"False high alarms before onset: {'; '.join(false) or 'none'}."),
    ]


def _onsets(runs: Sequence[Run]) -> tuple[str, ...]:
    """The cells of a column, in the order of `_GOALS`."""
    met = _all(runs, "episodes")
    with_onset = [run for run in runs if run["episodes"]]
    every = sum(all(map(_soon, run["episodes"])) for run in with_onset)
    first = sum(_soon(run["episodes"][0]) for run in with_onset)
    hours = sum(run["quiet_s"] for run in runs) / 3600
    false = sum(len(_false_before(run)) for run in runs)
    return (
        _soon_share(met),
        f"{every}, {first} of {len(with_onset)}",
        _median_worst(met),
        f"{false} in {hours:.2f} h",
        f"{false / hours:.2f}" if hours else "-",
    )


def _false_before(run: Run) -> list[Each]:
    return [
        alarm
        for alarm in run["alarms"]
        if alarm["priority"] == "high" and not alarm["true"] and alarm["decided_s"] <= run["quiet_s"]
    ]


def _mitdb(runs: Sequence[Run]) -> list[str]:
    hours = _hours(runs)
    met = {kind: [e for e in _all(runs, "episodes") if e["kind"] == kind] for kind in _EPISODES}
    rows = [
        (_EPISODES[kind], str(len(of_kind)), _soon_share(of_kind), _median_worst(of_kind),
         ", ".join(f"`{by}` {n}" for by, n in _by(of_kind)))
        for kind, of_kind in met.items() if of_kind
    ]  # fmt: skip
    heads = f"**mitdb: episodes** ({len(runs)} records)", "number", "alarm within 10 s", "median / worst", "first alarm"
    false = _high(runs, true=False)
    most = {run["record"]: sum(alarm["kind"] == "anomalous_beat" for alarm in run["alarms"]) for run in runs}
    worst = max(most, key=lambda record: most[record])
    low = [sum(alarm["priority"] == "low" for alarm in run["alarms"]) for run in runs]
    day = [24 * _count(runs, priority=priority) / hours for priority in _PRIORITIES]
    numbers = ", ".join(f"{count:.0f} {priority}" for count, priority in zip(day, _PRIORITIES, strict=True))
    return [
        markdown_table(heads, rows, "lrrrl"),
        wrapped(_late(runs, kinds=True)),
        _by_kind(runs, hours),
        wrapped(f"False high alarms: {'; '.join(false) or 'none'} ({len(false) / hours:.2f} an hour; goal < 0.1)."),
        wrapped(
            f"`anomalous_beat` in a record of half an hour: {np.median(list(most.values())):g} (median), {most[worst]} "
            f"(most: {worst}); all low alarms: {np.median(low):g} (median), {max(low)} (most). "
            "Goal: 20 an hour of a kind, which the rule holds by itself."
        ),
        f"Alarms of a bed-day (extrapolated from half an hour a patient): {sum(day):.0f}; {numbers}.",
    ]


def _by_kind(runs: Sequence[Run], hours: float) -> str:
    raised = _all(runs, "alarms")
    kinds = sorted({(_PRIORITIES.index(alarm["priority"]), alarm["technical"], alarm["kind"]) for alarm in raised})
    rows = []
    for rank, technical, kind in kinds:
        of_kind, false = _count(runs, kind=kind), _count(runs, kind=kind, true=False)
        judged = ("-", "-") if technical else (str(false), f"{false / hours:.2f}")
        rows.append((_PRIORITIES[rank], f"`{kind}`", str(of_kind), f"{of_kind / hours:.2f}", *judged))
    return markdown_table(("priority", "kind", "raised", "an hour", "false", "false an hour"), rows, "llrrrr")


def _nstdb(runs: Sequence[Run]) -> list[str]:
    rows = []
    for word, name in _RATIOS.items():
        if part := [run for run in runs if run["record"].endswith(word)]:
            counts = [_count(part, priority=priority, technical=False) for priority in _PRIORITIES]
            rows.append([name, *(f"{n / _hours(part):.1f}" for n in (*counts, _count(part, kind="poor_signal")))])
    heads = ("**nstdb: alarms an hour** (118 and 119; noise in two of four minutes)", *_PRIORITIES, "`poor_signal`")
    high = "; ".join(_high(runs)) or "none"
    return [markdown_table(heads, rows), wrapped(f"High alarms in nstdb, true or not: {high}.")]


def _all(runs: Sequence[Run], what: str) -> list[Each]:
    return [each for run in runs for each in run[what]]


def _hours(runs: Sequence[Run]) -> float:
    return float(sum(run["seconds"] for run in runs)) / 3600


def _count(runs: Sequence[Run], **wanted: object) -> int:
    """Number of alarms with these values."""
    return sum(all(alarm[key] == value for key, value in wanted.items()) for alarm in _all(runs, "alarms"))


def _high(runs: Sequence[Run], **wanted: object) -> list[str]:
    wanted |= {"priority": "high"}
    return [
        f"{run['record']} `{alarm['kind']}` {alarm['decided_s']:.0f} s"
        for run in runs
        for alarm in run["alarms"]
        if all(alarm[key] == value for key, value in wanted.items())
    ]


def _soon(episode: Each) -> bool:
    return episode["after_s"] is not None and episode["after_s"] <= WITHIN_S


def _soon_share(episodes: Sequence[Each]) -> str:
    part, whole = sum(map(_soon, episodes)), len(episodes)
    return f"{part} of {whole} ({100 * part / whole:.1f} %)" if whole else "-"


def _by(episodes: Sequence[Each]) -> list[tuple[str, int]]:
    """Kinds of the first alarms in time, and their numbers."""
    return Counter(episode["by"] for episode in episodes if _soon(episode)).most_common()


def _late(runs: Sequence[Run], *, kinds: bool) -> str:
    late = [
        f"{run['record']} {'`' + episode['kind'] + '` ' if kinds else ''}at {episode['first_s']:.0f} s "
        f"({_after(episode['after_s'])})"
        for run in runs
        for episode in run["episodes"]
        if not _soon(episode)
    ]
    return f"Not within {WITHIN_S:g} s: {'; '.join(late) or 'none'}."


def _after(seconds: float | None) -> str:
    return "never" if seconds is None or np.isinf(seconds) else f"{seconds:.1f} s"


def _median_worst(episodes: Sequence[Each]) -> str:
    after = np.array([np.inf if episode["after_s"] is None else episode["after_s"] for episode in episodes])
    return f"{_after(np.median(after))} / {_after(after.max())}" if after.size else "-"
