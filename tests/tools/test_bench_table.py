"""The tables of measured figures: what they say, and that the pages have them."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.report import Figure, Report, page_table, paired_ratio, percentile, readme_table, show, timed
from common.pages import markdown_table, page_with, wrapped
from common.programs import ToolError

from tests import ROOT

MACHINE = {"cpu": "a chip", "cores": 2, "system": "Linux", "python": "3.11", "versions": {}, "load_1_min": 0.5}
FIGURES = ROOT / "docs" / "results" / "bench"


def written(folder: Path, *figures: Figure) -> str:
    show(Report("latency", {"seconds": 3.0}, figures, ("a note",), MACHINE), folder / "latency.json")
    return page_table(folder)


def test_a_table_has_value_range_and_goal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = written(
        tmp_path, Figure("p50", 20.0, "ms", 50.0), Figure("p99", 151.0, "ms", 150.0), timed("x", [3, 1, 2], "s")
    )
    assert "| p50 | 20 ms |  | ≤ 50 ms, met |" in table
    assert "| p99 | 151 ms |  | ≤ 150 ms, missed |" in table
    assert "| x | 2 s | 1 to 3 |  |" in table
    assert "seconds=3.0, load at the end 0.5" in table
    assert "a chip, 2 cores" in table
    assert "- a note" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "goal", "more_is_better", "row"),
    [
        (59.97, 60.0, True, "59.97 |  | ≥ 60, missed |"),
        (59.9984, 60.0, True, "59.998 |  | ≥ 60, missed |"),
        (60.0004, 60.0, True, "60 |  | ≥ 60, met |"),
        (1000.2, 1000.0, False, "1000.2 |  | ≤ 1,000, missed |"),
        (50.00001, 50.0, False, "50.00001 |  | ≤ 50, missed |"),
    ],
)
def test_a_rounded_value_does_not_contradict_its_verdict(
    tmp_path: Path, value: float, goal: float, more_is_better: bool, row: str
) -> None:
    figure = Figure("f", value, "", goal, more_is_better=more_is_better)
    assert f"| f | {row}" in written(tmp_path, figure)


def test_a_ratio_is_the_median_over_pairs() -> None:
    figure = paired_ratio("r", theirs=[2.0, 9.0, 8.0], ours=[1.0, 3.0, 2.0], goal=4.0)
    assert (figure.value, figure.low, figure.high) == (3.0, 2.0, 4.0)
    assert percentile([4, 1, 3, 2], 50) == 2
    assert percentile(range(1, 101), 99) == 99


def test_a_missing_figure_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"bench\.py all"):
        page_table(tmp_path)
    for name in ("replay", "latency"):
        show(Report(name, {}, [Figure("other", 1.0, "")], (), MACHINE), tmp_path / f"{name}.json")
    with pytest.raises(ToolError, match="has no figure 'ratio: our process / their call'"):
        readme_table(tmp_path)


def test_text_is_put_between_its_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a <!-- x -->old<!-- /x --> b")
    assert page_with(page, "x", "new") == "a <!-- x -->\nnew\n<!-- /x --> b"
    for content in ("no markers", "<!-- x --> no end", "<!-- /x --> <!-- x -->"):
        page.write_text(content)
        with pytest.raises(ValueError, match="put the two lines"):
            page_with(page, "x", "new")


def test_tables_and_paragraphs_are_markdown() -> None:
    assert markdown_table(("a", "b"), [("1", "2")]) == "| a | b |\n|---|---:|\n| 1 | 2 |"
    assert max(map(len, wrapped("word-word " * 40).splitlines())) <= 120


def test_the_pages_have_the_kept_figures() -> None:
    """Else: python tools/bench.py table --write."""
    for page, name, table in (("docs/performance.md", "bench", page_table), ("README.md", "speed", readme_table)):
        assert (ROOT / page).read_text("utf-8") == page_with(ROOT / page, name, table(FIGURES))
