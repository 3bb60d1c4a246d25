"""A program in a shell on a pseudo-terminal, and whether it restored the terminal."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pexpect

TIMEOUT_S = 60
ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
NOTICE = "Not a medical device"
TRACE = "[\u2801-\u28ff]"


def start_in_shell(command: str, folder: Path, env: dict[str, str], rows: int, cols: int) -> pexpect.spawn:
    """Start a command in a shell that writes `stty -a` before and after it, and its process id, into `folder`."""
    script = (
        f"stty rows {rows} cols {cols}; "  # pexpect sets the same size, but when the shell already runs
        f"stty -a > {folder}/before; {command} & echo $! > {folder}/pid; fg > /dev/null; echo code:$?; "
        f"stty -a > {folder}/after; echo shell is back"
    )
    child = pexpect.spawn(
        "/bin/bash",
        ["--norc", "--noprofile", "-m", "-c", script],
        env=env,
        dimensions=(rows, cols),
        encoding="utf-8",
        codec_errors="replace",  # a signal may cut a frame within a character
        timeout=TIMEOUT_S,
    )
    child.logfile_read = io.StringIO()
    return child


def wait_for_trace(child: pexpect.spawn) -> None:
    child.expect_exact(NOTICE)
    child.expect(TRACE)


def interrupt(child: pexpect.spawn, folder: Path, number: int | None) -> None:
    """Send a signal to the program; None = type Ctrl-C."""
    if number is None:
        child.sendintr()
    else:
        os.kill(int((folder / "pid").read_text()), number)


def output_after(child: pexpect.spawn, folder: Path, code: int) -> str:
    """Wait for the exit code and return all output; screen, cursor and line mode must be as before."""
    child.expect_exact(f"code:{code}")
    child.expect_exact("shell is back")
    child.expect(pexpect.EOF)
    before, after = (set((folder / name).read_text().split()) for name in ("before", "after"))
    assert after == before, f"only before: {before - after}; only after: {after - before}"
    assert child.logfile_read is not None
    written = str(child.logfile_read.getvalue())
    assert written.count(ENTER) == written.count(LEAVE)
    assert written.rfind(ENTER) <= written.rfind(LEAVE)
    assert written.rfind(HIDE) <= written.rfind(SHOW)
    return written
