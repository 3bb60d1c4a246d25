"""The figures of `tools/study.py alarms` as Markdown, for docs/alarms.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from common.pages import markdown_table, wrapped

from studies.runs import Runs
from studies.truth import WITHIN_S

__all__ = ["alarms_table"]

_PRIORITIES: Final = ("high", "medium", "low")
_DAY_S: Final = 86400.0

Run = dict[str, Any]


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
    even = [run for run in runs if run not in odd]
    columns = {"odd records": odd, "even records": even, "all": list(runs)}
    figures = {name: _onsets(part) for name, part in columns.items()}
    rows = [[title, *(figures[name][title] for name in columns), goal] for title, goal in _ONSET_FIGURES.items()]
    table = markdown_table(["**cudb: ventricular fibrillation**", *columns, "goal"], rows, "lrrrl")
    by = Counter(_by(episode) for run in runs for episode in run["episodes"])
    kinds = ", ".join(f"`{kind}` {n}" for kind, n in by.most_common() if kind)
    false = [
        f"{run['record']}: " + ", ".join(f"`{alarm['kind']}` {alarm['decided_s']:.0f} s" for alarm in early)
        for run in runs
        if (early := _false_before(run))
    ]
    return [
        table,
        wrapped(f"First alarm: {kinds}. {_late(runs, kinds=False)}"),
        wrapped(f"False high alarms before onset: {'; '.join(false) or 'none'}."),
    ]


_ONSET_FIGURES: Final = {
    "onsets alarmed within 10 s": "≥ 90 %",
    "records with all, or the first, onset alarmed within 10 s": "≥ 90 %",
    "median / worst time to alarm": "≤ 10 s",
    "false high alarms before the first onset": "",
    "... an hour": "< 0.5",
}


def _onsets(runs: Sequence[Run]) -> dict[str, str]:
    met = [episode for run in runs for episode in run["episodes"]]
    with_onset = [run for run in runs if run["episodes"]]
    every = sum(all(map(_soon, run["episodes"])) for run in with_onset)
    first = sum(_soon(run["episodes"][0]) for run in with_onset)
    hours = sum(run["quiet_s"] for run in runs) / 3600
    false = sum(len(_false_before(run)) for run in runs)
    return dict(
        zip(
            _ONSET_FIGURES,
            (
                _share(sum(map(_soon, met)), len(met)),
                f"{every}, {first} of {len(with_onset)}",
                _median_worst(met),
                f"{false} in {hours:.2f} h",
                f"{false / hours:.2f}" if hours else "-",
            ),
            strict=True,
        )
    )


def _false_before(run: Run) -> list[dict[str, Any]]:
    return [
        alarm
        for alarm in run["alarms"]
        if alarm["priority"] == "high" and not alarm["true"] and alarm["decided_s"] <= run["quiet_s"]
    ]


def _mitdb(runs: Sequence[Run]) -> list[str]:
    hours = sum(run["seconds"] for run in runs) / 3600
    met: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        for episode in run["episodes"]:
            met.setdefault(episode["kind"], []).append(episode)
    rows = [
        (
            title,
            str(len(met[kind])),
            _share(sum(map(_soon, met[kind])), len(met[kind])),
            _median_worst(met[kind]),
            ", ".join(f"`{by}` {n}" for by, n in Counter(map(_by, met[kind])).most_common() if by),
        )
        for kind, title in _EPISODES.items()
        if kind in met
    ]
    heads = (
        f"**mitdb: episodes** ({len(runs)} records)",
        "number",
        "alarm within 10 s",
        "median / worst",
        "first alarm",
    )
    parts = [markdown_table(heads, rows, "lrrrl")]
    parts.append(wrapped(_late(runs, kinds=True)))
    parts.append(_by_kind(runs, hours))
    false = [
        f"{run['record']} `{alarm['kind']}` {alarm['decided_s']:.0f} s"
        for run in runs
        for alarm in run["alarms"]
        if alarm["priority"] == "high" and not alarm["true"]
    ]
    most = {run["record"]: _count(run, "anomalous_beat") for run in runs}
    worst = max(most, key=lambda record: most[record])
    low = {run["record"]: sum(alarm["priority"] == "low" for alarm in run["alarms"]) for run in runs}
    parts.append(
        wrapped(f"False high alarms: {'; '.join(false) or 'none'} ({len(false) / hours:.2f} an hour; goal < 0.1).")
    )
    parts.append(
        wrapped(
            f"`anomalous_beat` in a record of half an hour: {np.median(list(most.values())):g} (median), {most[worst]} "
            f"(most: {worst}); all low alarms: {np.median(list(low.values())):g} (median), {max(low.values())} (most). "
            "Goal: 20 an hour of a kind, which the rule holds by itself."
        )
    )
    parts.append(_bed_day(runs))
    return parts


_EPISODES: Final = {
    "ventricular_fibrillation": "ventricular flutter (207)",
    "ventricular_run": "5 or more ventricular beats at over 100 bpm",
    "asystole": "no beat for 4.2 s or longer",
    "pause": "no beat for 3.2 to 4.2 s (or `pause`)",
    "extreme_tachycardia": "17 beats at over 140 bpm",
    "extreme_bradycardia": "5 beats at under 40 bpm",
}


def _by_kind(runs: Sequence[Run], hours: float) -> str:
    raised = [alarm for run in runs for alarm in run["alarms"]]
    kinds = sorted({(_PRIORITIES.index(alarm["priority"]), alarm["technical"], alarm["kind"]) for alarm in raised})
    rows = []
    for rank, technical, kind in kinds:
        of_kind = [alarm for alarm in raised if alarm["kind"] == kind]
        false = sum(not alarm["true"] for alarm in of_kind)
        judged = ("-", "-") if technical else (str(false), f"{false / hours:.2f}")
        rows.append((_PRIORITIES[rank], f"`{kind}`", str(len(of_kind)), f"{len(of_kind) / hours:.2f}", *judged))
    return markdown_table(("priority", "kind", "raised", "an hour", "false", "false an hour"), rows, "llrrrr")


def _bed_day(runs: Sequence[Run]) -> str:
    days = sum(run["seconds"] for run in runs) / _DAY_S
    counts = [
        sum(alarm["priority"] == priority for run in runs for alarm in run["alarms"]) / days for priority in _PRIORITIES
    ]
    numbers = ", ".join(f"{count:.0f} {priority}" for count, priority in zip(counts, _PRIORITIES, strict=True))
    return f"Alarms of a bed-day (extrapolated from half an hour a patient): {sum(counts):.0f}; {numbers}."


def _nstdb(runs: Sequence[Run]) -> list[str]:
    rows = []
    for word, name in _RATIOS.items():
        part = [run for run in runs if run["record"].endswith(word)]
        if not part:
            continue
        counts = [
            sum(alarm["priority"] == priority and not alarm["technical"] for run in part for alarm in run["alarms"])
            for priority in _PRIORITIES
        ]
        poor = sum(_count(run, "poor_signal") for run in part)
        hours = sum(run["seconds"] for run in part) / 3600
        rows.append([name, *(f"{count / hours:.1f}" for count in (*counts, poor))])
    high = [
        f"{run['record']} `{alarm['kind']}` {alarm['decided_s']:.0f} s"
        for run in runs
        for alarm in run["alarms"]
        if alarm["priority"] == "high"
    ]
    heads = ("**nstdb: alarms an hour** (118 and 119; noise in two of four minutes)", *_PRIORITIES, "`poor_signal`")
    return [markdown_table(heads, rows), wrapped(f"High alarms in nstdb, true or not: {'; '.join(high) or 'none'}.")]


_RATIOS: Final = {"e24": "24 dB", "e18": "18 dB", "e12": "12 dB", "e06": "6 dB", "e00": "0 dB", "e_6": "-6 dB"}


def _soon(episode: dict[str, Any]) -> bool:
    return episode["after_s"] is not None and episode["after_s"] <= WITHIN_S


def _by(episode: dict[str, Any]) -> str:
    return episode["by"] if _soon(episode) else ""


def _late(runs: Sequence[Run], *, kinds: bool) -> str:
    late = [
        f"{run['record']} {kind}at {episode['first_s']:.0f} s ({_after(episode['after_s'])})"
        for run in runs
        for episode in run["episodes"]
        if not _soon(episode)
        for kind in ([f"`{episode['kind']}` "] if kinds else [""])
    ]
    return f"Not within {WITHIN_S:g} s: {'; '.join(late) or 'none'}."


def _after(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


def _median_worst(episodes: Sequence[dict[str, Any]]) -> str:
    after = np.array([np.inf if episode["after_s"] is None else episode["after_s"] for episode in episodes])
    if not after.size:
        return "-"
    return " / ".join("never" if np.isinf(s) else f"{s:.1f} s" for s in (np.median(after), after.max()))


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.1f} %)" if whole else "-"


def _count(run: Run, kind: str) -> int:
    return sum(alarm["kind"] == kind for alarm in run["alarms"])
