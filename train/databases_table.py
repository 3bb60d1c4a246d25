"""Table of the trials of the protocol `databases`, for docs/experiments.md."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from train.data.groups import GROUPS
from train.evaluate.results import FOLDER, TRIALS, read_trials
from train.evaluate.trials import named_trials
from train.tables import page_with

__all__ = ["EXPERIMENTS_PAGE", "MARKERS", "render_trials", "rendered_experiments", "trial_lines"]

EXPERIMENTS_PAGE: Final = Path(__file__).parents[1] / "docs" / "experiments.md"
MARKERS: Final = ("<!-- databases -->", "<!-- /databases -->")
_CALIBRATED: Final = {"all": "all patients", "held_out": "held-out patients", "patients": "held-out, conformal"}
_HEAD: Final = (
    "| trial | hypothesis | left out | calibrated on | normal beats called | by patient: median / 90 % / worst "
    "| first / second lead | not scored | V / S found | verdict |"
)


def trial_lines(name: str, found: Mapping[str, Any]) -> list[str]:
    """The figures of one trial as lines of plain text, one per group left out."""
    return [f"{name}, {group}, calibrated on {on}: " + "; ".join(_cells(part)) for group, on, part in _parts(found)]


def render_trials(result: Mapping[str, Any]) -> str:
    """The table as Markdown, one row per trial and group left out, in the order of `trials.toml`.

    Args:
        result: from `train.evaluate.results.read_trials`.
    """
    lines = [_HEAD, "|---|---|---|---|---:|---:|---:|---:|---:|---|"]
    for name, trial in named_trials().items():
        found = result["trials"].get(name)
        if found is None:
            continue
        for k, (group, on, part) in enumerate(_parts(found)):
            words = (f"`{name}`", trial.hypothesis) if k == 0 else ("", "")
            verdict = trial.verdict if k == 0 else ""
            lines.append(f"| {' | '.join((*words, group, _CALIBRATED[on], *_cells(part), verdict))} |")
    sizes = ", ".join(f"`{name}` {len(records)} records of {database}" for name, (database, records) in GROUPS.items())
    note = f"Left out: {sizes}. Written by `python -m train table` from [train/results](../train/results/{TRIALS})."
    return "\n".join([*lines, "", textwrap.fill(note, 120, break_long_words=False, break_on_hyphens=False)])


def rendered_experiments(folder: Path = FOLDER, page: Path = EXPERIMENTS_PAGE) -> dict[Path, str]:
    """Content that the page should have, by path; empty if the folder holds no result of this protocol.

    Raises:
        ValueError: the page is absent, a marker is missing, or the result cannot be read.
    """
    if not (folder / TRIALS).is_file():
        return {}
    return {page: page_with(page, render_trials(read_trials(folder / TRIALS)), MARKERS)}


def _parts(found: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Group left out, calibration and figures, in the order of the rows."""
    return [
        (group, on, part)
        for group in GROUPS
        for on, part in found["groups"].get(group, {}).get("calibrated_on", {}).items()
    ]


def _cells(part: Mapping[str, Any]) -> tuple[str, ...]:
    rates, worst, leads = part["rates"], part["called_worst"], part["by_lead"]
    bounds = part["intervals"].get("called")
    between = f" ({_percent(bounds[0])} to {_percent(bounds[1])})" if bounds else ""
    most = "-" if worst is None else f"{_percent(worst['share'])} ({worst['record']})"
    return (
        f"{_percent(rates['called'])}{between}",
        f"{_percent(part['called_median'])} / {_percent(part['called_high'])} / {most}",
        " / ".join(_percent(leads[place]["called"]) for place in ("first", "second") if place in leads),
        _percent(rates["unscored"]),
        f"{_percent(rates['veb_se'])} / {_percent(rates['sveb_se'])}",
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"
