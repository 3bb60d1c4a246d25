"""`monitor.commands.signals`: a stop is taken once, and programs started after it can still be stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from monitor.commands.signals import ignore_stops, stop_on_signals
from monitor.stop_signals import STOP_SIGNALS

# Prints which of the signals, given as numbers, it ignores from its start on.
IGNORED = "import signal, sys; print([n for n in map(int, sys.argv[1:]) if signal.getsignal(n) is signal.SIG_IGN])"


@pytest.fixture(autouse=True)
def handlers_restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOP_SIGNALS, ids=lambda number: number.name)
def test_a_second_signal_changes_nothing(number: signal.Signals) -> None:
    stop = threading.Event()
    stop_on_signals(stop)
    os.kill(os.getpid(), number)
    assert stop.is_set()
    stop.clear()
    os.kill(os.getpid(), number)
    assert not stop.is_set()


@pytest.mark.parametrize("number", STOP_SIGNALS, ids=lambda number: number.name)
def test_a_program_started_after_a_stop_ignores_no_signal(number: signal.Signals) -> None:
    stop_on_signals(threading.Event())
    os.kill(os.getpid(), number)
    command = [sys.executable, "-c", IGNORED, *(str(int(each)) for each in STOP_SIGNALS)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_signals_are_ignored_while_the_interpreter_ends() -> None:
    stop_on_signals(threading.Event())
    ignore_stops()
    assert all(signal.getsignal(number) is signal.SIG_IGN for number in STOP_SIGNALS)
