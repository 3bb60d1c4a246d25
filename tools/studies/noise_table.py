"""The figures of `tools/study.py noise` as Markdown, for docs/quality.md."""

from __future__ import annotations

from typing import Any

import numpy as np
from common.pages import markdown_table, wrapped

from studies.runs import Runs

__all__ = ["noise_table"]

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


def noise_table(study: Runs) -> str:
    """One table for each noise, one line for each signal-to-noise ratio."""
    if not study.runs:
        return "Not measured yet: `python tools/study.py noise`."
    parts = []
    for noise, title in _TITLES.items():
        runs = [run for run in study.runs.values() if run["noise"] == noise]
        if not runs:
            continue
        names = sorted({run["record"] for run in runs})
        ratios = sorted({run["snr_db"] for run in runs}, reverse=True)
        rows = [_cells(snr, [run for run in runs if run["snr_db"] == snr]) for snr in ratios]
        table = markdown_table(_HEADS, rows, "r" * len(_HEADS))
        parts.append(wrapped(f"**{title}**; records {', '.join(names)}") + f"\n\n{table}")
    high, kinds = 0, dict[str, int]()
    for run in study.runs.values():
        for name, count in run["noisy"]["alarms"].items():
            if name.startswith("high"):
                where = f"{name.removeprefix('high ')} ({run['noise']} {run['snr_db']} dB, {run['record']})"
                kinds[where] = kinds.get(where, 0) + count
                high += count if run["snr_db"] >= 6 else 0
    everywhere = "; ".join(f"{name}: {count}" for name, count in sorted(kinds.items())) or "none"
    parts.append(
        f"High-priority physiological alarms in noise at 6 dB and better: {high}. At any ratio: {everywhere}.\n\n"
        f"Model `{study.model[:12]}`. Measured by `{study.command}`; no random numbers."
    )
    return "\n\n".join(parts)


def _cells(snr: int, runs: list[dict[str, Any]]) -> tuple[str, ...]:
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
    return (
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
