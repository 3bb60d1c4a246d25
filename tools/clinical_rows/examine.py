"""Variants of rows in processes, and their verdicts."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass

from studies.runs import shipped_scorer

from clinical_rows import leads
from clinical_rows.cases import Case, Draw
from clinical_rows.received import Received, play
from clinical_rows.rows import ROWS
from clinical_rows.second_leads import add_second_lead


@dataclass(frozen=True)
class Verdict:
    """Of one variant.

    Attributes:
        row, number: which; numbers begin with 0.
        fs_hz, about: the parameters drawn.
        fault: why it fails; empty = it passes.
        signal_s, work_s: length of the signal, and processor time that drawing and playing it took.
    """

    row: str
    number: int
    fs_hz: float
    about: str
    fault: str
    signal_s: float
    work_s: float


def drawn(row: str, number: int, total: int, seed: int, second: str = "") -> Case:
    """Build a variant; with a second lead of this kind, if one is named."""
    case = ROWS[row].build(Draw(row, number, total, seed, leads.available()))
    if second:
        add_second_lead(case.tape, second, seed + number)
    return case


def received_from(case: Case) -> Received:
    """Play a variant."""
    return play(case, shipped_scorer())


def verdict_of(row: str, number: int, total: int, seed: int, second: str = "") -> Verdict:
    """Build, play and judge a variant; a part of the monitor that is not there or breaks is a fault too."""
    began_s = time.process_time()
    try:
        case = drawn(row, number, total, seed, second)
    except Exception as error:
        return Verdict(row, number, 0.0, "cannot be drawn", _line(error), 0.0, 0.0)
    try:
        fault = case.judge(received_from(case)) or ""
    except Exception as error:
        fault = _line(error)
    seconds = time.process_time() - began_s
    return Verdict(row, number, case.tape.fs_hz, case.about, fault, round(case.tape.seconds, 1), round(seconds, 2))


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:100]}"


def _verdict_of(task: tuple[str, int, int, int, str]) -> Verdict:
    return verdict_of(*task)


def examine(
    rows: Sequence[str], total: int, seed: int, jobs: int, numbers: Sequence[int] = (), second: str = ""
) -> Iterator[Verdict]:
    """Verdicts as they come; long rows first. `numbers`: only these variants of each row; `second`: see `drawn`."""
    tasks = [(row, number, total, seed, second) for row in rows for number in (numbers or range(total))]
    if jobs == 1:
        yield from map(_verdict_of, tasks)
        return
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done in as_completed([pool.submit(_verdict_of, task) for task in tasks]):
            yield done.result()
