"""`python -m train` as a person uses it: the whole way on tiny data, and one line for every mistake."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers_fit import TINY, made_up_beats, needs_mitdb

from train.__main__ import main

Here = Callable[..., str]

ROOT = Path(__file__).parents[2]
SETS = [part for value in TINY for part in ("--set", value)]


def train(*arguments: str | Path, code: int = 0) -> tuple[str, str]:
    """Run the command; give what it printed and complained."""
    done = subprocess.run(
        [sys.executable, "-m", "train", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=280,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """Run the command in this process (a new one loads torch for seconds); give what it printed."""

    def call(*arguments: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", ["train", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        text, error = capsys.readouterr()
        assert not stop.value.code, error
        return text

    return call


@pytest.fixture(scope="module")
def csv_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The public layout with made-up beats."""
    folder = tmp_path_factory.mktemp("csv")
    for seed, name in enumerate(("mitbih_train.csv", "mitbih_test.csv")):
        beats = made_up_beats(300, seed)
        label = np.where(beats.labels == "V", 2.0, 0.0)
        np.savetxt(folder / name, np.column_stack((beats.beats, label)), delimiter=",", fmt="%.6g")
    return folder


@pytest.fixture(scope="module")
def run(csv_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "tiny"
    text, _ = train("fit", "--csv-dir", csv_dir, "--out", out, "--threads", 1, "--seed", 3, *SETS)
    assert re.search(r"held-out -log p .* threshold log p < .*quantile 0\.05", text)
    return out


def test_fit_tells_the_command_and_the_seed(run: Path) -> None:
    config = json.loads((run / "train_config.json").read_text())
    assert config["config"]["seed"] == 3
    assert config["command"].startswith("python -m train fit --csv-dir")
    assert config["beat_definition"] == "kaggle/1"


def test_evaluate_and_export_agree(run: Path, csv_dir: Path, tmp_path: Path, here: Here) -> None:
    text = here(
        *("evaluate", "--model", run, "--csv-dir", csv_dir),
        *("--json", tmp_path / "deep" / "k.json", "--figures", tmp_path / "figures"),
    )
    assert "Protocol kaggle: 300 scored beats" in text
    assert "1-nearest neighbour" in text
    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert names == ["kaggle_beats.png", "kaggle_roc.png", "kaggle_scores.png", "training_curves.png"]
    by_run = json.loads((tmp_path / "deep" / "k.json").read_text())
    assert by_run["protocol"] == "kaggle"
    assert re.fullmatch("[0-9a-f]{64}", by_run["model"]["sha256"])
    assert "--figures" in by_run["command"]
    assert by_run["rows"][0]["auroc"] > 0.9

    onnx = tmp_path / "tiny.onnx"
    text = here("export", "--run", run, "--out", onnx, "--csv-dir", csv_dir)
    assert "none changes side" in text
    here("evaluate", "--model", onnx, "--csv-dir", csv_dir, "--json", tmp_path / "onnx.json")
    by_onnx = json.loads((tmp_path / "onnx.json").read_text())
    assert by_onnx["rows"][0]["auroc"] == pytest.approx(by_run["rows"][0]["auroc"], abs=1e-4)
    assert by_onnx["rows"][0]["confusion"] == by_run["rows"][0]["confusion"]
    assert by_onnx["model"]["threshold_quantile"] == 0.05


@needs_mitdb
def test_stream_model_from_fit_to_figures(tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out, onnx = tmp_path / "run", tmp_path / "stream.onnx"
    fit = ("fit", "--data", "stream", "--limit-records", 2, "--set", "held_out=0.5")
    here(*fit, "--out", out, "--threads", 1, *SETS[:-2])
    text = here("export", "--run", out, "--out", onnx)
    assert "calibrated on 2 patients" in text
    arguments = ("--protocol", "stream", "--limit-records", 1, "--json", tmp_path / "s.json")
    text = here("evaluate", "--model", onnx, *arguments)
    assert "bad 10 s %" in text
    result = json.loads((tmp_path / "s.json").read_text())
    assert [row["name"] for row in result["rows"]] == ["run", "run, by patient", "template, streaming"]
    assert result["gross"]["rates"]["r_se"] > 0.99
    here("evaluate", "--model", out, *arguments)
    again = json.loads((tmp_path / "s.json").read_text())
    assert again["gross"] == result["gross"]  # torch and ONNX, the same decisions


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit", "--out", "x", "--config", "nonsense"), "no configuration 'nonsense'"),
        (("fit", "--out", "x", "--set", "sed=1"), "unknown key 'sed'"),
        (("fit", "--out", "x", "--data", "nonsense"), "--data nonsense: unknown"),
        (("fit", "--out", "x", "--csv-dir", "nowhere"), "no such file"),
        (("evaluate", "--model", "nowhere"), "neither an .onnx file nor a run folder"),
        (("evaluate",), "nothing to judge"),
        (("evaluate", "--recording", "nowhere"), "needs --record NAME"),
        (("export", "--run", "nowhere", "--out", "x.onnx"), "no best_model.pt"),
        (("export", "--run", "nowhere", "--out", "x.txt"), "must end in .onnx"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = tuple(str(tmp_path / "x") if part == "x" else part for part in arguments)
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()  # in this process: starting one with torch for each would take a minute
    text, error = capsys.readouterr()
    assert stop.value.code == 2
    assert message in error
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1
    assert text == ""
    assert not (tmp_path / "x").exists()


def test_a_mistake_in_a_real_process(tmp_path: Path) -> None:
    arguments = ("--model", "a.pt", "--config", "b.json", "--normals", "c.csv", "--out", tmp_path / "o.onnx")
    text, error = train("import-published", *arguments, code=2)
    assert text == ""
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1


def test_help_needs_no_torch() -> None:
    probe = "import sys, train.__main__ as m; m.app(['--help'], standalone_mode=False); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    for command in ("fit", "evaluate", "export", "import-published", "data"):
        assert command in done.stdout
