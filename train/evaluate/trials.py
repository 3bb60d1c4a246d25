"""Trials of the protocol `databases`, described in `trials.toml`: hypothesis, patients, settings, calibration."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from importlib import resources
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from train.config import FitConfig, load_config
from train.errors import ConfigError
from train.export.calibration import CalibratedOn

__all__ = ["Trial", "chosen_trials", "named_trials", "trial_settings"]


class Trial(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One trial.

    Attributes:
        hypothesis: what it should show.
        verdict: what it showed; empty = not decided.
        groups: of `train.data.groups`; a fit takes all of them but the one that is reported.
        leads: `first` or `both` leads of the training patients. Both are reported.
        config: named configuration.
        set: overrides of it.
        left_out: groups that are left out and reported, one after the other; empty = each.
        beats_per_lead: at most this number of normal beats of each training lead, evenly spread; 0 = all.
        calibrations: compared on the same fits, see `train.export.calibration.calibrate_run_on`.
    """

    hypothesis: str
    verdict: str = ""
    groups: list[str]
    leads: Literal["first", "both"]
    config: str = "ours"
    set: list[str] = []
    left_out: list[str] = []
    beats_per_lead: Annotated[int, Meta(ge=0)] = 0
    calibrations: Annotated[list[CalibratedOn], Meta(min_length=1)] = msgspec.field(default_factory=lambda: ["all"])


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    set: list[str]
    beats_per_lead: int
    trial: dict[str, Trial]


def named_trials() -> dict[str, Trial]:
    """The trials by name, in the order of the file; what it sets for all trials is put into each.

    Raises:
        ConfigError: `trials.toml` is invalid.
    """
    try:
        text = (resources.files("train") / "trials.toml").read_text("utf-8")
        file = msgspec.convert(tomllib.loads(text), _File)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"trials.toml: {error}") from error
    return {
        name: msgspec.structs.replace(
            trial, set=[*file.set, *trial.set], beats_per_lead=trial.beats_per_lead or file.beats_per_lead
        )
        for name, trial in file.trial.items()
    }


def chosen_trials(names: Sequence[str]) -> dict[str, Trial]:
    """The named trials, all for no name.

    Raises:
        ConfigError: unknown name, or `trials.toml` is invalid.
    """
    trials = named_trials()
    for name in names:
        if name not in trials:
            raise ConfigError(f"--trial {name}: unknown; give {', '.join(trials)}")
    return {name: trial for name, trial in trials.items() if name in names or not names}


def trial_settings(trial: Trial) -> FitConfig:
    """All hyper-parameters of the fits of a trial."""
    return load_config(trial.config, trial.set, "stream")
