"""The protocol `databases` on a made-up database: one group left out, no abnormal label in a fit, trials by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector import Calibration, shipped_model
from tests.train.data.made_database import write_database
from tests.train.fit.helpers import same_weights
from train.data.groups import GROUPS, group_beats, group_records, thinned
from train.data.records import NormalBeats
from train.databases_table import EXPERIMENTS_PAGE, MARKERS, render_trials, rendered_experiments
from train.errors import ConfigError
from train.evaluate.databases_protocol import evaluate_trial, group_figures, training_groups
from train.evaluate.fitting import finished_run
from train.evaluate.results import FOLDER, TRIALS, read_trials, write_trial
from train.evaluate.trials import Trial, chosen_trials, named_trials, trial_settings
from train.export.loaded_model import load_model

NAMES = {"ds1": ("a1", "a2"), "sele": ("b1", "b2"), "qtother": ("c1", "c2")}
TINY = [
    *("latent_dim=4", "n_layers=2", "hidden_dims=[16]", "encoder_widths=[8, 8, 8, 8]", "encoder_hidden=16"),
    *("epochs_autoencoder=1", "epochs_flow=1", "held_out=0.5", "beats_per_epoch=60", "recorded_noise=0.0"),
]
TRIAL = Trial(
    hypothesis="", groups=list(GROUPS), leads="both", set=TINY, beats_per_lead=40, calibrations=["all", "held_out"]
)


def make(folder: Path, monkeypatch: pytest.MonkeyPatch, abnormal: str = "V") -> None:
    """The made-up database at `folder`, as the groups of the protocol."""
    monkeypatch.setenv("ECG_MONITOR_DATA", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    for group, names in NAMES.items():
        monkeypatch.setitem(GROUPS, group, ("made", names))
    write_database(folder / "made", sum(NAMES.values(), ()), seconds=40, abnormal=abnormal)


def test_each_group_is_left_out_of_the_fit_that_reports_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, monkeypatch)
    runs, said = tmp_path / "runs", list[str]()
    found = evaluate_trial("tiny", TRIAL, runs, progress=said.append)
    assert list(found["groups"]) == list(NAMES)
    for group, part in found["groups"].items():
        folder = runs / "databases" / "tiny" / "+".join(part["trained_on"])
        config = json.loads((folder / "train_config.json").read_text())
        fitted = {*config["records_fitted"], *config["records_held_out"]}
        assert fitted == {name for other, names in NAMES.items() if other != group for name in names}
        for figures in part["calibrated_on"].values():
            assert figures["patients"] == 2
            assert set(figures["called_by_patient"]) == set(NAMES[group])
            assert figures["counts"]["beats_V"] > 0
            assert figures["verdicts"].keys() <= {"truncated"}  # the made-up signal is clean
            assert set(figures["by_lead"]) == {"first", "second"}
    before = [line for line in said if "already finished" in line]
    assert not before
    again = evaluate_trial("tiny", TRIAL, runs, only=["sele"], progress=said.append)
    assert sum("already finished" in line for line in said) == 1
    assert again["groups"] == {"sele": found["groups"]["sele"]}


def test_no_label_of_an_abnormal_beat_touches_a_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = []
    for abnormal in ("V", "A", "N"):
        make(tmp_path / abnormal, monkeypatch, abnormal)
        folders.append(finished_run(tmp_path / abnormal / "run", trial_settings(TRIAL), "stream", beats_per_lead=40))
    assert same_weights(folders[0], folders[1])
    assert not same_weights(folders[0], folders[2])


def test_figures_count_what_the_monitor_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, monkeypatch)
    model = load_model(shipped_model())
    assert model.calibration is not None
    never, always = (
        Calibration(0.0, 1.0, (0.0, 0.0), (1.0, 1.0), (-1e6, 1e6), p, 0.01) for p in ((1.0, 0.5), (0.001, 0.0))
    )
    records = list(group_records("sele", "both"))
    found = group_figures(model, {"all": never, "held_out": always}, records)
    assert found["all"]["rates"]["called"] == found["all"]["rates"]["veb_se"] == 0.0
    assert found["held_out"]["rates"]["called"] == 1.0
    assert found["held_out"]["rates"]["veb_se"] > 0.9
    one = found["held_out"]
    normal = sum(int((record.annotated_labels == "N").sum()) for record in records)
    assert one["counts"]["beats_N"] == normal
    assert one["rates"]["unscored"] == pytest.approx(sum(one["verdicts"].values()))
    with pytest.raises(ValueError, match="no record to report on"):
        group_figures(model, {"all": never}, [])


def test_thinned_beats_are_spread_over_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, monkeypatch)
    normals = NormalBeats(group_beats(["ds1"], "first"))
    few = thinned(normals, 10)
    assert [int((few.signals == signal).sum()) for signal in np.unique(few.signals)] == [10, 10]
    first = normals.beats[normals.records == "a1"]
    at = [int(np.flatnonzero((first == beat).all(axis=1))[0]) for beat in few.beats[few.records == "a1"]]
    assert at[0] == 0
    assert at[-1] == len(first) - 1
    assert set(np.diff(at)) <= {len(first) // 10, len(first) // 10 + 1}
    assert thinned(normals, 0) is normals


def test_trials_of_the_file_can_be_fitted() -> None:
    trials = named_trials()
    assert {"ds1", "all-both"} <= set(trials)
    for trial in trials.values():
        assert set(trial.groups) <= set(GROUPS)
        assert trial_settings(trial).held_out == 0.25
        assert all("ds2" not in group for group in trial.groups)
    assert training_groups(trials["all-both"], "sele") == ("ds1", "qtother")
    assert training_groups(trials["ds1"], "ds1") == ()
    assert training_groups(trials["all-both-noise"], "ds1") == ("sele", "qtother")
    assert training_groups(trials["all-both-noise"], "sele") == ()
    assert list(chosen_trials(["ds1"])) == ["ds1"]
    with pytest.raises(ConfigError, match="--trial nothing: unknown; give ds1"):
        chosen_trials(["nothing"])


def test_results_are_kept_by_trial_and_agree_with_the_page(tmp_path: Path) -> None:
    path = tmp_path / TRIALS
    write_trial(path, "first", {"seed": 0, "groups": {}})
    write_trial(path, "second", {"seed": 1, "groups": {}})
    assert list(read_trials(path)["trials"]) == ["first", "second"]
    write_trial(path, "first", {"seed": 0, "groups": {"sele": {"a": 1}}})
    write_trial(path, "first", {"seed": 0, "groups": {"ds1": {"a": 2}}})  # the same settings: groups are added
    assert read_trials(path)["trials"]["first"]["groups"] == {"sele": {"a": 1}, "ds1": {"a": 2}}
    write_trial(path, "first", {"seed": 3, "groups": {"ds1": {"a": 4}}})
    assert read_trials(path)["trials"]["first"] == {"seed": 3, "groups": {"ds1": {"a": 4}}}
    path.write_text('{"protocol": "stream"}')
    with pytest.raises(ValueError, match="not a result of the protocol databases"):
        read_trials(path)
    assert rendered_experiments(tmp_path / "nothing") == {}
    page = tmp_path / "page.md"
    page.write_text("no marker")
    with pytest.raises(ValueError, match=f"page.md has no {MARKERS[0]}"):
        rendered_experiments(FOLDER, page)
    for place, text in rendered_experiments().items():
        assert text == place.read_text("utf-8"), "run `python -m train table`"
    rows: dict[str, Any] = read_trials(FOLDER / TRIALS)
    assert set(rows["trials"]) <= set(named_trials())
    assert render_trials(rows) in EXPERIMENTS_PAGE.read_text("utf-8")
