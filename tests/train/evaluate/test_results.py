"""Results go to files without dates and paths, and README and quality page agree with them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from train.evaluate.evaluate import draw_figures
from train.evaluate.protocols import Outcome, Row
from train.evaluate.results import PROTOCOLS, read_results, result_of, write_result
from train.evaluate.stream_protocol import empty_beats
from train.tables import BEGIN, END, QUALITY_PAGE, README, SHORT_MARKERS, put, render, render_short, rendered_pages

ROOT = Path(__file__).parents[3]


def row(name: str, auroc: float) -> dict[str, Any]:
    part = {"auroc": auroc, "record_mean_auroc": 0.5, "intervals": {"auroc": [auroc - 0.01, auroc + 0.01]}}
    return {"name": name, **part, "without_232": part | {"auroc": 0.9991}}


def inter(ours: float) -> dict[str, Any]:
    rows = [row("ours", ours), row("published", 0.7), row("template baseline", 0.85)]
    return {"protocol": "inter", "seed": 0, "resamples": 500, "models": [], "rows": rows}


def test_readme_and_quality_page_agree_with_the_results() -> None:
    assert (README, QUALITY_PAGE) == (ROOT / "README.md", ROOT / "docs" / "quality.md")
    for path, text in rendered_pages().items():
        assert text == path.read_text("utf-8"), f"{path.name}: run `python -m train table`"


def test_default_folder_holds_the_results() -> None:
    assert set(read_results()) == set(PROTOCOLS)


def test_short_table_has_one_line_per_figure() -> None:
    lines = render_short(read_results()).splitlines()
    assert lines[0] == "| figure | ours | reference |"
    assert len([line for line in lines if line.count("|") == 4]) == 9
    assert all(line.count("**") == 2 and " |  |" not in line for line in lines[2:9])
    assert render_short({"inter": inter(0.9)}).splitlines()[2] == ""  # no line for an absent protocol
    assert "Not measured yet" in render_short({})


@pytest.mark.parametrize("absent", ["README.md", "quality.md"])
def test_page_without_markers_is_one_line(tmp_path: Path, absent: str) -> None:
    markers = {"README.md": SHORT_MARKERS, "quality.md": (BEGIN, END)}
    for name, pair in markers.items():
        (tmp_path / name).write_text("" if name == absent else "\n".join(pair))
    with pytest.raises(ValueError, match=rf"{absent} has no {markers[absent][0]} and .*: add the two lines"):
        rendered_pages(readme=tmp_path / "README.md", page=tmp_path / "quality.md")
    (tmp_path / absent).unlink()
    with pytest.raises(ValueError, match=f"{absent}: No such file"):
        rendered_pages(readme=tmp_path / "README.md", page=tmp_path / "quality.md")


def test_the_results_in_the_repository_name_no_path_and_no_date() -> None:
    for path in (ROOT / "train" / "results").glob("*.json"):
        text = path.read_text("utf-8")
        assert not re.search(r"/(home|root|work|Users|tmp)/|20\d\d-\d\d-\d\d", text), path.name
    for path in (ROOT / "train" / "results").glob("*.png"):
        assert path.stat().st_size < 150_000, path.name


def test_a_line_holds_published_reference_ours_interval_and_goal() -> None:
    text = render({"inter": inter(0.9312)})
    assert "| AUROC | 0.700 | 0.850 | **0.931** | 0.921 to 0.941 | ≥ 0.93, met |" in text
    assert "| AUROC | 0.700 | 0.850 | **0.920** | 0.910 to 0.930 | ≥ 0.93, missed |" in render({"inter": inter(0.92)})
    assert "**0.999**" in text  # without 232
    assert "kaggle" not in text.split("\n\n")[0]  # an absent protocol is left out
    widths = {line.count("|") for line in text.split("\n\n")[0].splitlines()}
    assert widths == {8}


def test_decisions_noise_and_r_peaks_are_in_the_tables() -> None:
    rates = {"r_se": 0.99, "r_ppv": 0.98, "unscorable": 0.125, "fpr_scored": 0.03, "abnormal_se": None}
    kinds = {
        "noisy": {"rates": rates, "intervals": {"r_se": [0.9, 1.0]}},
        "clean": {"rates": rates | {"fpr_scored": 0.01}},
    }
    noise = {"ours": {"6 dB": kinds, "6 dB and better": kinds}}
    shares = {"abnormal_se": 0.9, "fpr": 0.021, "veb_se": 0.97, "sveb_se": 0.8, "bad_windows": 0.01}
    part = {"rates": shares, "intervals": {"abnormal_se": [0.8, 0.95]}}
    decided = {"gross": part, "gross_without_232": part, "worst_fpr": {"record": "222", "fpr": 0.2}}
    quality = {"gross": {"rates": {"r_se": 0.998, "r_ppv": 0.9}, "intervals": {}}}
    base = {"seed": 0, "resamples": 500, "models": [{"name": "ours", "sha256": "ab" * 32}], "rows": []}
    text = render(
        {
            "stream": base | {"protocol": "stream", "decisions": {"ours": decided}, "r_peaks": quality},
            "nstdb": base | {"protocol": "nstdb", "noise": noise},
        }
    )
    assert "| abnormal beats called, without 232 |  |  | **90.00 %** | 80.00 % to 95.00 % | ≥ 85 %, met |" in text
    assert "| normal beats called, without 232 |  |  | **2.10 %** |  | ≤ 2 %, missed |" in text
    assert "| normal beats called, worst record |  |  | **20.00 %** |  | ≤ 10 %, missed |" in text
    assert "| R-peak Se, all 48 records |  |  | **99.80 %** |  | ≥ 99.6 %, met |" in text
    assert (
        "| scored normal beats called, noisy minutes |  |  | **3.00 %** |  | ≤ 2 % (twice the clean), missed |" in text
    )
    assert "| R-peak Se, noisy minutes |  |  | **99.00 %** | 90.00 % to 100.00 % |  |" in text
    assert "| 6 dB | 99.00 % | 98.00 % | 12.50 % / 12.50 % | 3.00 % / 1.00 % | - / - |" in text
    assert "ours (stream) `abababababab`" in " ".join(text.split())


def test_the_tables_go_between_the_markers_and_nowhere_else() -> None:
    readme = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert put(readme, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"
    assert put(put(readme, "new"), "new") == put(readme, "new")
    with pytest.raises(ValueError, match="add the two lines"):
        put("no markers", "new")


def test_a_result_is_written_and_read_again(tmp_path: Path) -> None:
    row = Row("ours", empty_beats().beats[:, 0].astype(float), empty_beats().labels, {"auroc": 1 / 3, "beats": 7})
    outcome = Outcome("inter", [row], empty_beats(), {"interval": (0.1234567891, float("nan"))})
    result = result_of(outcome, [], "python -m train evaluate --protocol inter", 5)
    assert result["rows"][0]["auroc"] == 0.333333
    assert result["interval"] == [0.123457, None]
    path = write_result(tmp_path / "deep", result)
    assert read_results(path.parent) == {"inter": json.loads(path.read_text())} == {"inter": result}
    assert read_results(tmp_path) == {}
    assert set(PROTOCOLS) == {"kaggle", "inter", "stream", "nstdb"}
    path.write_text("[]")
    with pytest.raises(ValueError, match=r"inter\.json: not a result"):
        read_results(path.parent)


def test_an_outcome_without_rows_and_failures_draws_nothing(tmp_path: Path) -> None:
    assert draw_figures(Outcome("nstdb", [], empty_beats()), None, tmp_path) == []


def test_rows_of_absent_models_are_kept(tmp_path: Path) -> None:
    def result(ours: str, auroc: float, *others: str) -> dict[str, Any]:
        models = [{"name": name, "sha256": "ab" if name == ours else name} for name in (ours, *others)]
        rows = [
            row(ours, auroc),
            row(f"{ours}, by patient", auroc),
            *(row(name, 0.7) for name in (*others, "template")),
        ]
        return inter(0.5) | {
            "models": models,
            "rows": rows,
            "decisions": {ours: {"se": auroc}, "template": {"se": 0.1}},
        }

    write_result(tmp_path, result("ours", 0.9, "published"))
    write_result(tmp_path, result("shipped", 0.8))
    found = read_results(tmp_path)["inter"]
    assert {r["name"]: r["auroc"] for r in found["rows"]} == {
        "ours": 0.8,
        "ours, by patient": 0.8,
        "template": 0.7,
        "published": 0.7,
    }
    assert [model["name"] for model in found["models"]] == ["ours", "published"]
    assert found["decisions"] == {"ours": {"se": 0.8}, "template": {"se": 0.1}}
    assert found["kept"] == ["published"]
    text = " ".join(render({"inter": found}).split())
    assert "Kept from an earlier version of the detector: published in inter." in text
    write_result(tmp_path, result("ours", 0.7, "published"))
    assert "kept" not in read_results(tmp_path)["inter"], "both present again"
