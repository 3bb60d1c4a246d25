"""No text, whatever it holds, controls the terminal: at each place where the program prints."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import unicodedata
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from monitor.commands import app
from monitor.commands.alarm_table import write_alarms
from monitor.commands.table import Column, write_table
from monitor.dashboard.canvas import Canvas
from monitor.errors import ConfigError
from monitor.reports.alarm_list import write_csv, write_json_lines
from monitor.reports.alarm_report import SourceFacts, report
from monitor.reports.episodes import PastAlarm, past_alarms
from monitor.terminal import json_line, notice, print_line, printable
from tests.monitor.bus.helpers import alarm
from tests.monitor.commands.helpers import COMMAND, environment

HOSTILE = "p1\x1b[2J\x1b]0;title\x07\r\n\x9b31m\x7f\u202e\u2066\u200b\u200d\ufeff\u2028\u3164\ufe0f\U000e0001\ud800"
ANY = st.text(st.one_of(st.sampled_from(HOSTILE), st.characters()), max_size=40)
CONTROLS = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def is_visible(text: str) -> bool:
    return not any(unicodedata.category(char) in CONTROLS for char in text.replace("\n", ""))


def past(text: str) -> list[PastAlarm]:
    """An alarm in a journal whose every text is hostile."""
    body = alarm(100)
    changed = msgspec.structs.replace(
        body.alarm, bed=text, text=text, acknowledged_by=text, alarm_id=f"{text}/asystole/100", count=3
    )
    body = msgspec.structs.replace(body, alarm=changed, epoch="run", time="2026-01-31T08:00:05+00:00")
    return past_alarms([body], {"run": text}, {})


@given(ANY)
def test_a_printed_text_is_visible_and_one_line(text: str) -> None:
    assert is_visible(printable(text))
    assert "\n" not in printable(text)
    assert printable(printable(text)) == printable(text)
    for write in (print_line, notice):
        out = io.StringIO()
        write(text, out)
        assert is_visible(out.getvalue())
        assert out.getvalue().count("\n") == 1


@pytest.mark.parametrize("text", ["p1", "Dr Ä", "心電図 II", "a\\b 'c' \"d\"", "naïve e\u0301", "⠿▁"])
def test_a_usual_text_is_unchanged(text: str) -> None:
    assert printable(text) == text


@given(st.recursive(ANY | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(ANY, inner)))
def test_a_json_line_is_visible_and_has_the_same_value(value: object) -> None:
    for indent in (None, 2):
        line = json_line(json.dumps(value, ensure_ascii=False, indent=indent))
        assert is_visible(line)
        assert "\n" not in line
        assert json.loads(line) == value


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert json_line(b'{"a":"\xff\x9b"}') == '{"a":"��"}'


@given(ANY)
def test_lists_and_reports_of_alarms_are_visible(text: str) -> None:
    alarms = past(text)
    for write in (write_alarms, write_csv, write_json_lines):
        out = io.StringIO()
        write(alarms, out)
        assert is_visible(out.getvalue())
    assert is_visible(report(alarms[0], sources=[SourceFacts(text, text, 250.0)]))
    table = io.StringIO()
    write_table([Column("name", 0), Column("text", 1, shortest=3)], [(text, text)], table, styles=["bold"])
    assert is_visible(table.getvalue())
    assert table.getvalue().count("\n") == 2


@given(ANY)
def test_the_dashboard_is_visible(text: str) -> None:
    canvas = Canvas(60, 3)
    canvas.text(0, 0, text)
    canvas.rule(1, 0, 60, text, text)
    out = io.StringIO()
    Console(file=out, width=60, force_terminal=False).print(canvas.frame())
    assert is_visible(out.getvalue())
    assert all(len(line) <= 60 for line in out.getvalue().splitlines())


@pytest.mark.parametrize(
    "words",
    [
        ("--bed", "p1\x1b[31m\n"),
        ("--source", "csv:\x1b[31m\u202e"),
        ("--speed", "\x9b31m"),
        ("\x1b[31mwatch",),
        ("--\x1b[31m",),
        ("tail", "--connect", "tcp://\x1b]0;x\x07:1"),
        ("alarms", "--journal", "j\x1b[2J"),
        ("score", "\x1b[2J", "--out", "x\x07"),
        ("keys", "add", "\x1b[2J", "x"),
    ],
    ids=repr,
)
def test_a_wrong_option_is_repeated_in_visible_characters(words: tuple[str, ...]) -> None:
    done = subprocess.run([*COMMAND, *words], capture_output=True, env=environment(), stdin=subprocess.DEVNULL)
    assert done.returncode == 2, done.stderr
    assert is_visible(done.stderr.decode())
    assert b"Traceback" not in done.stderr


def test_an_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConfigError(HOSTILE)

    monkeypatch.setattr(app, "app", fail)
    assert app.run_app() == 2
    error = capsys.readouterr().err
    assert is_visible(error)
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("redirection", "code"),
    [(">&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 0), (">/dev/full", 2), ("2>/dev/full", 0)],
)
def test_a_closed_or_full_stream_gives_no_traceback(tmp_path: Path, redirection: str, code: int) -> None:
    """No error but that of a full standard output, and no file of ours under the number of a closed stream."""
    command = shlex.join([*COMMAND, "keys", "new", str(tmp_path / "keys")])
    done = subprocess.run(["sh", "-c", f"{command} {redirection}"], capture_output=True, text=True, env=environment())
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "keys made" not in (tmp_path / "keys" / "clients.toml").read_text()


@pytest.mark.parametrize("words", [("keys", "list", "nowhere-\u28b0"), ("inspect", "sim")], ids=repr)
def test_an_encoding_without_a_character_gets_an_escape(words: tuple[str, ...]) -> None:
    command = [*COMMAND, *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(PYTHONIOENCODING="ascii"))
    assert "\\u28" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
