"""Processes of the tools: output, resource usage, errors, samples of memory and processor time."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from common.programs import Program, ToolError, Watch, data_folder, wait_for

BUSY = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass"


def python(code: str) -> Program:
    return Program((sys.executable, "-c", code))


def test_output_and_usage_of_a_program_that_ends() -> None:
    with python(f"print('done')\n{BUSY.format(0.1)}") as program:
        assert program.wait() == "done\n"
    assert program.wall_s >= program.cpu_s > 0.1


def test_a_failed_program_is_an_error_with_its_last_line() -> None:
    with (
        python("print('first'); raise SystemExit('no such record')") as program,
        pytest.raises(ToolError, match="ended with exit code 1: no such record"),
    ):
        program.wait()


def test_a_program_that_takes_too_long_is_killed() -> None:
    with python("import time; time.sleep(60)") as program:
        with pytest.raises(ToolError, match="exit code -9"):
            program.wait(timeout_s=0.2)
        assert not program.alive


def test_the_endpoint_is_read_from_the_output() -> None:
    with python("print('alarms on tcp://127.0.0.1:7', flush=True); input()") as program:
        assert program.endpoint() == "tcp://127.0.0.1:7"
        assert program.alive
        program.send_line("end")
        program.wait()
    with python("print('no port')") as program, pytest.raises(ToolError, match="ended before it listened: no port"):
        program.endpoint()


def test_leaving_the_block_kills_the_program() -> None:
    with python("import time; time.sleep(60)") as program:
        assert program.alive
    assert not program.alive
    assert program.process.returncode == -9


def test_the_personal_settings_do_not_reach_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_MONITOR_SPEED", "7")
    monkeypatch.setenv("ECG_MONITOR_DATA", "/data")
    code = "import os; print([os.environ[name] for name in sorted(os.environ) if name.startswith('ECG_MONITOR_')])"
    with python(code) as program:
        assert program.wait() == "['/data']\n"


def test_a_watch_samples_processor_time_and_memory() -> None:
    with python(f"x = bytearray(80_000_000)\n{BUSY.format(0.2)}\nprint('done', flush=True); input()") as program:
        watch = Watch(lambda: [program.usage], every_s=0.01)
        wait_for(lambda: "done" in program.output(), "end of the work")
        time.sleep(0.05)
        watch.end()
        assert watch.cpu_s >= 0.2
        assert 80 < watch.now_mb <= watch.most_mb < 200
    assert watch.cpu_s >= 0.2  # the figures stay


def test_waiting_and_missing_data_are_one_line_errors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="no answer within 0 s"):
        wait_for(lambda: False, "answer", 0.05)
    monkeypatch.setenv("ECG_MONITOR_DATA", str(tmp_path))
    with pytest.raises(ToolError, match="set ECG_MONITOR_DATA"):
        data_folder()
    (tmp_path / "mitdb").mkdir()
    assert data_folder() == tmp_path
