"""`python -m train` from fit to README on tiny data, and one line for each mistake."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.train.fit.helpers import TINY, made_up_beats, needs_mitdb
from train.__main__ import main

Here = Callable[..., str]

ROOT = Path(__file__).parents[2]
SETS = [part for value in TINY for part in ("--set", value)]


def train(*arguments: str | Path, code: int = 0) -> tuple[str, str]:
    """Run the command; stdout and stderr."""
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
    """Run the command in this process (a new one loads torch for seconds); stdout."""

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
    text, _ = train("fit", "--config", "published", "--csv-dir", csv_dir, "--out", out, "--seed", 3, *SETS)
    assert re.search(r"held-out -log p .* threshold score > .*quantile 0\.95", text)
    return out


@pytest.mark.slow
def test_a_run_holds_command_and_seed(run: Path) -> None:
    config = json.loads((run / "train_config.json").read_text())
    assert config["config"]["seed"] == 3
    assert config["command"].startswith("python -m train fit --config published --csv-dir")
    assert config["beat_definition"] == "kaggle/1"


@pytest.mark.slow
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
    assert "same side of the threshold for all" in text
    here("evaluate", "--model", onnx, "--csv-dir", csv_dir, "--json", tmp_path / "onnx.json")
    by_onnx = json.loads((tmp_path / "onnx.json").read_text())
    assert by_onnx["rows"][0]["auroc"] == pytest.approx(by_run["rows"][0]["auroc"], abs=1e-4)
    assert by_onnx["rows"][0]["confusion"] == by_run["rows"][0]["confusion"]
    assert by_onnx["model"]["threshold_quantile"] == 0.05


@pytest.mark.slow
@needs_mitdb
def test_all_runs_from_fit_to_the_readme(
    csv_dir: Path, tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both data sets in one command, one of them exported, all of them evaluated, their table put into a README."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    runs, results, onnx = tmp_path / "runs", tmp_path / "results", tmp_path / "stream.onnx"
    sets = ("--threads", 1, "--limit-records", 2, *SETS[:-2], "--set", "held_out=0.5")
    here("fit", "--config", "published", "--runs", runs, "--csv-dir", csv_dir, *sets)
    assert sorted(path.name for path in runs.iterdir()) == ["published-kaggle", "published-stream"]
    assert (
        here("fit", "--config", "published", "--runs", runs, "--csv-dir", csv_dir, *sets).count("already finished") == 2
    )

    text = here("export", "--run", runs / "published-stream", "--out", onnx)
    assert "calibrated on 2 patients" in text
    alone = ("evaluate", "--protocol", "stream", "--limit-records", 1, "--json", tmp_path / "s.json")
    text = here(*alone, "--model", onnx)
    assert "bad 10 s %" in text
    result = json.loads((tmp_path / "s.json").read_text())
    models = ["published-stream", "published-stream, by patient", "published-stream, two leads"]
    names = [*models, "template, streaming"]
    assert [row["name"] for row in result["rows"]] == names
    decided = result["decisions"]["published-stream"]
    assert decided["gross"]["rates"]["r_se"] > 0.99
    here(*alone, "--model", runs / "published-stream")
    again = json.loads((tmp_path / "s.json").read_text())
    assert again["decisions"]["published-stream"] == decided  # torch and ONNX, the same decisions

    (runs / "published-stream").rename(runs / "ours-stream")
    monkeypatch.setattr("train.evaluate.comparison.shipped_model", lambda: onnx)
    here("evaluate", "--runs", runs, "--csv-dir", csv_dir, "--limit-records", 1, "--results", results)
    found = {path.name: json.loads(path.read_text()) for path in results.glob("*.json")}
    assert set(found) == {"inter.json", "kaggle.json", "nstdb.json", "stream.json"}
    assert {path.name for path in results.glob("stream*.png")} == {
        *("stream_beats.png", "stream_failures.png", "stream_roc.png", "stream_scores.png")
    }
    assert [row["name"] for row in found["kaggle.json"]["rows"]] == ["published", "1-nearest neighbour"]
    stream = found["stream.json"]
    # The shipped file has the weights of ours-stream, so it replaces that run.
    assert [(model["name"], model["file"]) for model in stream["models"]] == [("ours", "onnx")]
    assert stream["models"][0]["sha256"] == hashlib.sha256(onnx.read_bytes()).hexdigest()
    assert stream["command"] == "python -m train evaluate --protocol stream --seed 0"
    assert list(stream["decisions"]) == ["ours", "ours, two leads", "template, streaming"]
    assert stream["r_peaks"]["gross"]["rates"]["r_se"] > 0.99
    assert str(tmp_path) not in "".join(path.read_text() for path in results.glob("*.json"))

    monkeypatch.setattr("train.evaluate.explanations.DS1", ("101",))
    monkeypatch.setattr("train.evaluate.explanations.DS2", ("100",))
    text = here("words", "--model", onnx, "--json", results / "words.json")
    assert "| limit | in use |" in text
    words = json.loads((results / "words.json").read_text())
    assert words["model_sha256"] == stream["models"][0]["sha256"]
    assert words["sets"]["DS2"]["all"]["shares"]["S"]["early"] > 0.5

    readme, page = tmp_path / "README.md", tmp_path / "quality.md"
    readme.write_text("<!-- quality -->\n<!-- /quality -->\n")
    page.write_text("<!-- results -->\n<!-- /results -->\n")
    arguments = ("table", "--results", results, "--readme", readme, "--page", page)
    monkeypatch.setattr(sys, "argv", ["train", *map(str, arguments), "--check"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert "run `python -m train table`" in capsys.readouterr().err
    here(*arguments)
    assert "| public beats, AUROC |" not in readme.read_text()  # no run `ours-kaggle`
    assert "no learning" in page.read_text()
    here(*arguments, "--check")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit", "--out", "x", "--config", "nonsense"), "no configuration 'nonsense'"),
        (("fit", "--runs", "x", "--data", "nonsense"), "--data nonsense: unknown"),
        (("fit", "--out", "x", "--set", "sed=1"), "unknown key 'sed'"),
        (("fit", "--out", "x", "--data", "nonsense"), "--data nonsense: unknown"),
        (("fit", "--out", "x", "--csv-dir", "nowhere"), "no such file"),
        (("evaluate", "--model", "nowhere"), "neither an .onnx file nor a run folder"),
        (("evaluate", "--runs", "x"), "holds no finished fit"),
        (("evaluate", "--protocol", "nonsense"), "--protocol nonsense: unknown"),
        (("evaluate", "--protocol", "databases", "--trial", "nonsense"), "--trial nonsense: unknown; give ds1"),
        (("evaluate", "--protocol", "databases", "--model", "x"), "fits its own models"),
        (("evaluate", "--protocol", "databases", "--record", "100", "--figures", "x"), "not --record, --figures"),
        (
            ("evaluate", "--protocol", "databases", "--trial", "ds1", "--left-out", "ds1", "--json", "x"),
            "--trial ds1 --left-out ds1: this trial reports sele, qtother",
        ),
        (("evaluate", "--trial", "ds1"), "--trial: give it with --protocol databases only"),
        (
            ("evaluate", "--left-out", "ds1", "--threads", "1"),
            "--left-out, --threads: give it with --protocol databases",
        ),
        (
            ("fit", "--data", "stream", "--out", "x", "--set", "groups=['ds2']"),
            "group 'ds2': unknown; give ds1, sele, qtother",
        ),
        (
            ("fit", "--data", "stream", "--out", "x", "--set", "leads=third"),
            "leads 'third': unknown; give first or both",
        ),
        (("table", "--readme", "x"), "No such file"),
        (("words", "--model", "x"), "No such file"),
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


WITHOUT_TORCH = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, Absent())
from train.__main__ import main
main()
"""


def test_without_torch_one_line_names_the_remedy(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "fit", "--runs", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "train needs torch: python -m pip install -e '.[train]'\n"


def test_help_needs_no_torch() -> None:
    probe = "import sys, train.commands as m; m.app(['--help'], standalone_mode=False); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    for command in ("fit", "evaluate", "export", "import-published", "data", "table", "words"):
        assert command in done.stdout


STOPPED_AT = """
import os, signal, sys
moment = sys.argv.pop(1)
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == moment:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from train.__main__ import main
main()
"""


@pytest.mark.parametrize("moment", ["typer", "torch"])
def test_ctrl_c_during_imports_is_one_line(tmp_path: Path, moment: str) -> None:
    command = [sys.executable, "-c", STOPPED_AT, moment, "fit", "--runs", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.returncode in (130, -2), done.stderr  # -2: Python ends itself by the signal, 130 for a shell
    assert done.stderr == "stopped; give the same command again to resume the fit from its last epoch\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "error: Missing command; see python -m train --help"),
        (["nonsense"], "error: No such command 'nonsense'; see python -m train --help"),
        (["export"], "error: Missing option '--run'; see python -m train export --help"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    arguments: list[str], expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    assert (stop.value.code, capsys.readouterr().err) == (2, f"{expected}\n")
