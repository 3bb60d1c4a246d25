"""Beats and alarms of a record with noise: detector, shipped model, alarms; and the table for docs/quality.md.

Noise comes as in nstdb: after five clean minutes for two minutes in every four. The limits of the detector were chosen
on DS1 and on the first fifteen minutes of each noise (but see docs/quality.md); this study takes DS2 and the second
fifteen minutes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from common.pages import markdown_table, wrapped
from numpy.typing import NDArray

from detector import Scorer
from studies.runs import Jobs, Kept, Runs, Signal, play
from train.data.detected_beats import MATCH_S, match_beats
from train.data.noise_mix import mix, read_noise
from train.data.records import DS2, read_record
from train.evaluate.noise_protocol import SNR_DB, record_name
from train.evaluate.noise_protocol import minutes as noisy_minutes

_TITLES = {
    "em": "em: electrode motion",
    "ma": "ma: muscle artefact",
    "bw": "bw: baseline wander",
    "em, two leads": "em: electrode motion, in two leads (`--channel`), each with its own noise",
    "ma, two leads": "ma: muscle artefact, in two leads, each with its own noise",
    "nstdb": "nstdb: its own records 118 and 119 (electrode motion; training records)",
}
_HEADS = (
    "SNR", "marked unscorable, noisy / clean", "R-peak Se", "R-peak +P", "normal beats called, of those scored",
    "of all normal beats", "alarms an hour: high, medium, low", "`poor_signal` after, median / worst", "within 5 s",
)  # fmt: skip

Stretches = Sequence[tuple[int, int]]  # first sample, end


def jobs(minutes: float) -> Jobs:
    """Each noise at each ratio in each record of DS2, two of them in both leads; and nstdb's own records (`nstdb`)."""
    return {
        f"{noise} {snr_db:+d} dB {record} {minutes:g} min": (record, noise, snr_db, minutes)
        for noise in ("bw", "em", "ma", "em, two leads", "ma, two leads", "nstdb")
        for snr_db in SNR_DB
        for record in (("118", "119") if noise == "nstdb" else DS2)
    }


def measure(name: str, noise: str, snr_db: int, minutes: float, scorer: Scorer) -> dict[str, Any]:
    """Run one record through a bed; counts of its `noisy` and `clean` minutes."""
    record = read_record(record_name(name, snr_db), "nstdb") if noise == "nstdb" else read_record(name)
    end = min(len(record.samples_mv), round(minutes * 60 * record.fs_hz))
    parts = noisy_minutes(end, record.fs_hz)
    kind, _, two = noise.partition(", ")
    leads: list[tuple[str, NDArray[np.float64]]] = []
    for lead in (record, read_record(name, second=True)) if two else (record,):
        samples = lead.samples_mv
        if noise != "nstdb":
            samples = mix(lead, read_noise(kind, "second", second=bool(leads))[0], snr_db, parts["noisy"])
        leads.append((lead.lead, samples[:end]))
    kept = play(Signal(record.lead, record.fs_hz, leads[0][1], *leads[1:]), scorer)
    truth = record.beat_samples < end
    annotated, labels = record.beat_samples[truth], record.beat_labels[truth]
    counts = {kind: _counts(kept, annotated, labels, part, record.fs_hz) for kind, part in parts.items()}
    return {"record": name, "noise": noise, "snr_db": snr_db, "minutes": minutes, **counts}


def _counts(
    kept: Kept, annotated: NDArray[np.int64], labels: NDArray[np.str_], stretches: Stretches, fs_hz: float
) -> dict[str, Any]:
    """Counts within the stretches."""
    r_samples = np.array([beat.r_sample for beat in kept.beats], np.int64)
    scored = np.array([beat.log_prob is not None for beat in kept.beats], bool)
    called = np.array([beat.anomalous for beat in kept.beats], bool)
    matched = match_beats(r_samples, annotated, MATCH_S * fs_hz)
    inside = _within(r_samples, stretches)
    label = np.where(matched >= 0, labels[matched] if len(labels) else "", "-")
    normal = inside & (label == "N")
    onsets = [alarm for alarm in kept.alarms if alarm.state == "onset" and alarm.count == 1 and not alarm.update]
    alarms = Counter(
        f"{alarm.priority} {alarm.kind}"
        for alarm in onsets
        if alarm.category == "physiological" and _within(np.array([alarm.decided_sample]), stretches)[0]
    )
    poor = [alarm.decided_sample for alarm in onsets if alarm.kind == "poor_signal"]
    ended = [alarm.decided_sample for alarm in kept.alarms if alarm.kind == "poor_signal" and alarm.state == "cleared"]
    return {
        "seconds": sum(end - first for first, end in stretches) / fs_hz,
        "annotated": int(_within(annotated, stretches).sum()),
        "found": int((inside & (matched >= 0)).sum()),
        "false_detections": int((inside & (matched < 0)).sum()),
        "unscorable": int((inside & ~scored).sum()),
        "normal": int(normal.sum()),
        "normal_scored": int((normal & scored).sum()),
        "normal_called": int((normal & called).sum()),
        "alarms": dict(alarms),
        "poor_signal_after_s": [_after_s(first, end, poor, ended, fs_hz) for first, end in stretches],
    }


def _within(samples: NDArray[np.int64], stretches: Stretches) -> NDArray[np.bool_]:
    inside = np.zeros(len(samples), bool)
    for first, end in stretches:
        inside |= (samples >= first) & (samples < end)
    return inside


def _after_s(first: int, end: int, poor: Sequence[int], ended: Sequence[int], fs_hz: float) -> float | None:
    """Time from the begin of a stretch to `poor_signal`, s; 0 where it was active already, None where it never came."""
    before = [at for at in poor if at <= first]
    if before and not any(before[-1] < at <= first for at in ended):
        return 0.0
    came = [at for at in poor if first < at < end]
    return (came[0] - first) / fs_hz if came else None


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
    high = [
        (run["snr_db"], count, f"{name.removeprefix('high ')} ({run['noise']} {run['snr_db']} dB, {run['record']})")
        for run in study.runs.values()
        for name, count in run["noisy"]["alarms"].items()
        if name.startswith("high")
    ]
    everywhere = "; ".join(f"{where}: {count}" for _, count, where in sorted(high, key=lambda each: each[2])) or "none"
    parts.append(
        wrapped(
            "High-priority physiological alarms in noise at 6 dB and better: "
            f"{sum(n for snr, n, _ in high if snr >= 6)}. At any ratio: {everywhere}."
        )
        + "\n\n"
        + f"Model `{study.model[:12]}`. Measured by `{study.command}`; no random numbers."
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
