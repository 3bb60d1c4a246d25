"""The fit: its files, its result, and resuming after a kill."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from tests.train.fit.helpers import KILLED, fit_quietly, kill_a_fit, made_up_beats, same_weights, tiny_config
from train.config import load_config, named_configs
from train.data.records import NormalBeats
from train.errors import ConfigError, FitError, RunError
from train.evaluate.metrics import auroc
from train.fit.checkpoint import load_run
from train.fit.fit import choose_device, fit

FINISHED = ("epochs_autoencoder=10", "epochs_flow=10")


def run_fit(out: Path, *overrides: str, n: int = 400, by_record: bool = False) -> str:
    return fit_quietly(out, made_up_beats(n), tiny_config(*overrides), by_record=by_record)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "one"
    run_fit(out, *FINISHED)
    return out


def test_files_of_a_run(finished: Path) -> None:
    config = json.loads((finished / "train_config.json").read_text())
    assert (config["latent_dim"], config["n_layers"], config["hidden_dims"]) == (4, 2, [16])
    assert config["config"]["seed"] == 0
    assert config["held_out_by"] == "beat"
    normals = NormalBeats(made_up_beats())
    assert config["beats_fitted"] + config["beats_held_out"] == len(normals)
    history = json.loads((finished / "history.json").read_text())
    assert [row["epoch"] for row in history["flow"]] == list(range(1, len(history["flow"]) + 1))
    assert (finished / "training_curves.png").read_bytes().startswith(b"\x89PNG")
    assert not list(finished.glob(".*.part"))


def test_a_run_scores_unseen_beats(finished: Path) -> None:
    run = load_run(finished)
    test = made_up_beats(300, seed=1)
    scores = run.scores(test.beats)
    np.testing.assert_array_equal(scores.score, -scores.log_prob)  # the published model has no further evidence
    area = auroc(scores.score, test.labels)
    assert area is not None
    assert area > 0.95
    _, watched = NormalBeats(made_up_beats()).hold_out(0.25, 0, by_record=False)
    held_out = run.scores(watched.beats)
    for share in (
        np.mean(held_out.log_prob < run.config["threshold"]),
        np.mean(held_out.score > run.config["score_threshold"]),
    ):
        assert abs(share - 0.05) <= 1 / len(watched) + 1e-9


def test_features_are_standardised_before_the_flow(finished: Path) -> None:
    from train.model.normalise import Normalise

    run = load_run(finished)
    fitted, _ = NormalBeats(made_up_beats()).hold_out(0.25, 0, by_record=False)
    features = run.model.encode(Normalise(run.normalisation)(torch.from_numpy(fitted.beats)))
    torch.testing.assert_close(features.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(features.std(0, correction=0), torch.ones(4), atol=1e-4, rtol=0)


@pytest.mark.slow
def test_the_best_epoch_is_kept_not_the_last(tmp_path: Path) -> None:
    run_fit(tmp_path / "a", "epochs_flow=40", "lr_flow=0.05", "patience_flow=3")
    run = load_run(tmp_path / "a")
    rows = run.history["flow"]
    best = min(row["held_out"] for row in rows)
    assert len(rows) < 40
    assert rows[-1]["held_out"] > best
    assert run.config["held_out_nll"] == pytest.approx(best, rel=1e-5)


@pytest.mark.slow
def test_same_seed_same_weights_other_seed_others(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run_fit(tmp_path / name, f"seed={seed}")
    assert same_weights(tmp_path / "a", tmp_path / "b")
    assert not same_weights(tmp_path / "a", tmp_path / "c")


@pytest.mark.slow
def test_resume_after_kill_gives_the_same_bits(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    kill_a_fit("tests.train.fit.helpers", "fit_to_be_killed", cut, "autoencoder")
    assert not (cut / "best_model.pt").exists()
    assert "autoencoder 1/" not in run_fit(cut, *KILLED)
    run_fit(whole, *KILLED)
    assert same_weights(whole, cut)
    threshold = [json.loads((out / "train_config.json").read_text())["threshold"] for out in (whole, cut)]
    assert threshold[0] == threshold[1]


def test_resuming_a_finished_run_changes_nothing(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "a")
    text = run_fit(tmp_path / "a", *FINISHED)
    assert same_weights(finished, tmp_path / "a")
    assert "flow 1/" not in text


@pytest.mark.parametrize("change", ["seed=5", "lr_flow=0.001"])
def test_other_settings_are_not_resumed(finished: Path, change: str) -> None:
    with pytest.raises(RunError, match=f"holds a fit with {change.split('=')[0]}"):
        run_fit(finished, *FINISHED, change)


def test_other_beats_are_not_resumed(finished: Path) -> None:
    with pytest.raises(RunError, match="data_sha256"):
        run_fit(finished, *FINISHED, n=401)


def test_a_broken_checkpoint_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(RunError, match="not a checkpoint"):
        run_fit(tmp_path)


def test_a_nan_loss_names_the_remedy(tmp_path: Path) -> None:
    beats = made_up_beats(100)
    _, watched = NormalBeats(beats).hold_out(0.25, 0, by_record=False)
    far_out = (beats.beats == watched.beats[0]).all(axis=1)
    beats.beats[far_out] = 1e38  # over float32 once it is normalised by the others
    with pytest.raises(FitError, match=r"in epoch 1; lower lr_autoencoder \(0\.001\)"):
        fit(
            NormalBeats(beats),
            tiny_config(),
            tmp_path,
            data="made up",
            beat_definition="test/1",
            by_record=False,
            device="cpu",
            console=Console(file=io.StringIO()),
        )


@pytest.mark.slow
def test_few_lines_are_printed_without_a_terminal(tmp_path: Path) -> None:
    lines = run_fit(tmp_path / "a", "epochs_autoencoder=6").splitlines()
    assert lines[0].startswith("autoencoder 1/6")
    assert lines[-1].startswith("flow: best held-out loss")
    assert len(lines) <= 6 + 4 + 2


def test_unknown_device_is_refused() -> None:
    with pytest.raises(FitError, match="--device nonsense"):
        choose_device("nonsense")


def test_configuration_is_closed(tmp_path: Path) -> None:
    assert "published" in named_configs()
    published = load_config("published")
    assert (published.latent_dim, published.n_layers, published.hidden_dims) == (64, 8, [512, 512])
    assert (published.epochs_autoencoder, published.epochs_flow) == (30, 100)
    file = tmp_path / "mine.toml"
    file.write_text("latent_dims = 3\n")
    for name, sets, message in (
        (str(file), (), r"mine\.toml: unknown key 'latent_dims'"),
        ("published", ("seed=-1",), "--set seed=-1.*>= 0"),
        ("published", ("nonsense=1",), "unknown key 'nonsense'"),
        ("published", ("seed",), "must be key=value"),
        ("published", ("normalisation=nonsense",), "--set normalisation"),
        ("nonsense", (), "no configuration 'nonsense'"),
        (str(tmp_path / "none.toml"), (), "cannot be read"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_config(name, sets)
    file.write_text("seed = [")
    with pytest.raises(ConfigError, match="not TOML"):
        load_config(str(file))
    assert load_config("published", ("seed=1", "seed=2")).seed == 2
