"""Run trials of the protocol `databases`, and write each when it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from train.data.groups import GROUPS, check_groups
from train.databases_table import trial_lines
from train.errors import DataError
from train.evaluate.databases_protocol import evaluate_trial, training_groups
from train.evaluate.results import write_trial
from train.evaluate.trials import chosen_trials

__all__ = ["run_trials"]


def run_trials(
    names: Sequence[str],
    runs: Path,
    place: Path,
    left_out: Sequence[str],
    limit_records: int | None,
    seed: int,
    threads: int | None,
    say: Callable[[str], None],
    progress: Callable[[str], None],
) -> None:
    """Run trials; finished fits are not repeated.

    Args:
        names: of the trials; empty = all.
        runs: folder of all runs.
        place: JSON file; trials in it that are not run now are kept.
        left_out: leave out and report only these groups; empty = all that a trial reports.
        limit_records: only the first N records of each group.
        seed: of the bootstrap.
        threads: CPU threads; None = torch's default.
        say: receives the figures.
        progress: receives one line per step.

    Raises:
        ConfigError: unknown trial.
        DataError: unknown group, or one that a named trial does not report.
    """
    left_out = check_groups(left_out) if left_out else ()
    trials = {}
    for name, trial in chosen_trials(names).items():
        reported = [group for group in GROUPS if training_groups(trial, group)]
        if not left_out or set(left_out) & set(reported):
            trials[name] = trial
        elif names:
            raise DataError(f"--trial {name} --left-out {left_out[0]}: this trial reports {', '.join(reported)}")
    if threads:
        torch.set_num_threads(threads)
    limit = "" if limit_records is None else f" --limit-records {limit_records}"
    for name, trial in trials.items():
        # Without paths: the same on every machine.
        command = f"python -m train evaluate --protocol databases --trial {name} --seed {seed}{limit}"
        found = evaluate_trial(
            name,
            trial,
            runs,
            only=left_out,
            limit_records=limit_records,
            seed=seed,
            command=command,
            progress=progress,
        )
        write_trial(place, name, {"command": command, **found})
        for line in trial_lines(name, found):
            say(line)
