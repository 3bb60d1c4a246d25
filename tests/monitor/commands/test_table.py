"""Tables at several widths."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from monitor.commands.table import Column, write_table

COLUMNS = (
    Column("time", 2), Column("kind", 1), Column("n", 3, right=True), Column("text", 4, shortest=10), Column("id", 0),
)  # fmt: skip
NAME = "ward-7-bed-with-a-long-name-of-forty-cells"
ROWS = [
    ("08:00:01", "ventricular fibrillation", "12", "chaotic, no QRS complex for 4.2 s", f"{NAME}/vf/123456"),
    ("08:00:02", "asystole", "123", "no QRS for 4 s", "p1/asystole/8823"),
]  # 8, 24, 3, 34 and 52 cells


def lines(width: str, monkeypatch: pytest.MonkeyPatch, rows: list[tuple[str, ...]] = ROWS) -> list[str]:
    monkeypatch.setenv("COLUMNS", width)
    out = io.StringIO()
    write_table(COLUMNS, rows, out)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [20, 60, 80, 100, 200])
def test_no_name_is_broken_and_only_names_make_a_line_longer(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    table = lines(str(width), monkeypatch)
    assert len(table) == 3
    assert all(line.endswith(row[-1]) for line, row in zip(table[1:], ROWS, strict=True))
    assert max(map(len, table)) <= max(width, len(ROWS[0][-1]))
    assert (ROWS[0][1] in table[1]) == ("kind" in table[0].split())


def test_the_least_important_columns_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    heads = [lines(str(width), monkeypatch)[0].split() for width in (52, 80, 90, 96, 110, 140)]
    assert heads == [
        ["id"], ["kind", "id"], ["time", "kind", "id"], ["time", "kind", "n", "id"],
        ["time", "kind", "n", "text", "id"], ["time", "kind", "n", "text", "id"],
    ]  # fmt: skip


def test_a_text_is_cut_with_an_ellipsis_and_a_pipe_has_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "  chaotic, no …  " in "\n".join(lines("108", monkeypatch))
    assert ROWS[0][3] in lines("", monkeypatch)[1]


@given(st.lists(st.tuples(*[st.text(max_size=30)] * 5), min_size=1, max_size=5), st.integers(1, 120))
def test_whatever_the_cells_hold_a_row_is_one_line(rows: list[tuple[str, ...]], width: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        table = lines(str(width), patch, rows)
    assert len(table) == len(rows) + 1
    assert "".join(table).isprintable()
    longest = max(cell_len(line) for line in table)
    assert longest <= max(width, 2 + max(6 * len(row[-1]) * 2 for row in rows))
