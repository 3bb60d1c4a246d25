"""The figures of tools/noise.py as tables, and the page they stand in."""

from __future__ import annotations

from typing import Any

import numpy as np

from noise_study.study import Study
from train.tables import put as put_between

__all__ = ["BEGIN", "END", "put", "tables"]

BEGIN, END = "<!-- noise -->", "<!-- /noise -->"
_TITLES = {
    "em": "em: electrode motion",
    "ma": "ma: muscle artefact",
    "bw": "bw: baseline wander",
    "nstdb": "nstdb: its own records 118 and 119 (electrode motion; training records)",
}
_HEADS = (
    "SNR",
    "marked unscorable, noisy / clean",
    "R-peak Se",
    "R-peak +P",
    "normal beats called, of those scored",
    "of all normal beats",
    "alarms an hour: high, medium, low",
    "`poor_signal` after, median / worst",
    "within 5 s",
)


def tables(study: Study) -> str:
    """One table a noise, a line a signal-to-noise ratio."""
    if not study.runs:
        return "Not measured yet: `python tools/noise.py`."
    parts = []
    for noise, title in _TITLES.items():
        runs = [run for run in study.runs.values() if run["noise"] == noise]
        if not runs:
            continue
        names = sorted({run["record"] for run in runs})
        lines = [
            f"**{title}**; records {', '.join(names)}",
            "",
            f"| {' | '.join(_HEADS)} |",
            "|---:" * len(_HEADS) + "|",
        ]
        ratios = sorted({run["snr_db"] for run in runs}, reverse=True)
        lines += [_line(snr, [run for run in runs if run["snr_db"] == snr]) for snr in ratios]
        parts.append("\n".join(lines))
    high = sum(
        count
        for run in study.runs.values()
        if run["snr_db"] >= 6
        for name, count in run["noisy"]["alarms"].items()
        if name.startswith("high")
    )
    kinds: dict[str, int] = {}
    for run in study.runs.values():
        for name, count in run["noisy"]["alarms"].items():
            if name.startswith("high"):
                where = f"{name.removeprefix('high ')} ({run['noise']} {run['snr_db']} dB, {run['record']})"
                kinds[where] = kinds.get(where, 0) + count
    told = "; ".join(f"{name}: {count}" for name, count in sorted(kinds.items())) or "none"
    parts.append(
        f"High-priority physiological alarms in noise at 6 dB and better: {high}. At any ratio: {told}.\n\n"
        f"Model `{study.model[:12]}`. Measured by `{study.command}`; nothing in it is drawn at random."
    )
    return "\n\n".join(parts)


def put(page: str, text: str) -> str:
    """docs/quality.md with the tables between their markers; ValueError where one is missing."""
    return put_between(page, text, (BEGIN, END), "docs/quality.md")


def _line(snr: int, runs: list[dict[str, Any]]) -> str:
    def total(kind: str, key: str) -> float:
        return float(sum(run[kind][key] for run in runs))

    def share(kind: str, part: str, *whole: str) -> str:
        below = sum(total(kind, key) for key in whole)
        return f"{100 * total(kind, part) / below:.2f} %" if below else "-"

    detected = ("found", "false_detections")
    hours = total("noisy", "seconds") / 3600
    alarms = [
        sum(n for run in runs for name, n in run["noisy"]["alarms"].items() if name.startswith(priority)) / hours
        for priority in ("high", "medium", "low")
    ]
    after = [s for run in runs for s in run["noisy"]["poor_signal_after_s"]]
    came = np.array([np.inf if s is None else s for s in after])
    median, worst = (("never" if np.isinf(s) else f"{s:.0f} s") for s in (np.median(came), came.max()))
    cells = (
        f"{snr} dB",
        f"{share('noisy', 'unscorable', *detected)} / {share('clean', 'unscorable', *detected)}",
        share("noisy", "found", "annotated"),
        share("noisy", "found", *detected),
        share("noisy", "normal_called", "normal_scored"),
        share("noisy", "normal_called", "normal"),
        ", ".join(f"{rate:.1f}" for rate in alarms),
        f"{median} / {worst}",
        f"{int((came <= 5).sum())} of {len(came)}",
    )
    return f"| {' | '.join(cells)} |"
