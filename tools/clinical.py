"""Situations of a bedside through the whole monitor, with a verdict: python tools/clinical.py table | show A1/7.

Every row is a situation of docs/alarms.md; its variants differ in rate, amplitude, sampling rate, polarity, noise and
seed. Each goes through source, detector, model and alarm engine. Rows with a star also use real leads, if
`ECG_MONITOR_DATA` names the folder of the records. Time is the sample clock: a slow machine gives the same verdicts.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # measure this working tree

from clinical_rows import leads  # noqa: E402
from clinical_rows.examine import Verdict, drawn, examine, received_from  # noqa: E402
from clinical_rows.rows import ROWS  # noqa: E402
from clinical_rows.second_leads import SECOND_LEADS  # noqa: E402
from clinical_rows.tables import below_goal, detail, page_table, text_table  # noqa: E402
from common.pages import save_json, write_page  # noqa: E402
from common.programs import ToolError, run_command  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import track  # noqa: E402


def main(
    rows: Annotated[str, typer.Option(help="Rows, with commas, e.g. A1,A6 or B; default: all.")] = "",
    variants: Annotated[int, typer.Option(min=1, help="Variants of each row.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    second: Annotated[str, typer.Option(help=f"A second lead: {', '.join(SECOND_LEADS)}; default: none.")] = "",
    show: Annotated[str, typer.Option(help="One variant in detail, e.g. A1/7: alarms, events, rates, beats.")] = "",
    json: Annotated[Path | None, typer.Option(help="File for the verdicts.")] = None,
    save: Annotated[Path | None, typer.Option(help="With --show: file for its samples, .npz.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Write the table into docs/alarms.md.")] = False,
    no_fail: Annotated[bool, typer.Option("--no-fail", help="Exit code 0 also where a row is under its goal.")] = False,
) -> None:
    """Print the share of variants of each row that passes, and why others fail; exit code 1: a row under its goal."""
    if second and second not in SECOND_LEADS:
        raise ToolError(f"--second {second}: give one of {', '.join(SECOND_LEADS)}")
    if show:
        return _show(show, variants, seed, save, second)
    names = _chosen(rows)
    if not leads.available() and any(ROWS[name].real for name in names):
        print(
            "ECG_MONITOR_DATA names no folder with mitdb/: rows with (*) run on synthetic signals alone",
            file=sys.stderr,
        )
    total = len(names) * variants
    done = examine(names, variants, seed, jobs, second=second)
    verdicts: list[Verdict] = list(track(done, f"{total} variants", total, console=Console(stderr=True)))
    command = f"python tools/clinical.py --variants {variants} --seed {seed}"
    command += f" --second {second}" if second else ""
    if json is not None:
        content = {"command": command, "variants": [dataclasses.asdict(each) for each in verdicts]}
        save_json(json, content)
    print(text_table(verdicts))
    hours, cpu_s = sum(each.signal_s for each in verdicts) / 3600, sum(each.work_s for each in verdicts)
    print(f"{total} variants, {hours:.1f} h of signal, {cpu_s:.0f} s of processor time")
    if markdown:
        write_page("docs/alarms.md", "clinical", page_table(verdicts, command))
    if (failing := below_goal(verdicts)) and not no_fail:
        print(f"under their goal: {', '.join(failing)}")
        raise typer.Exit(1)
    return None


def _chosen(words: str) -> list[str]:
    """Rows by name or letter. ToolError: there is none."""
    wanted = [word.strip().upper() for word in words.split(",") if word.strip()]
    if unknown := [word for word in wanted if not any(name.startswith(word) for name in ROWS)]:
        raise ToolError(f"no row {', '.join(unknown)}: there are {', '.join(ROWS)}")
    return [name for name in ROWS if not wanted or name in wanted or name[0] in wanted]


def _show(which: str, variants: int, seed: int, save: Path | None, second: str) -> None:
    row, _, number = which.upper().partition("/")
    if row not in ROWS or not number.isdigit() or int(number) >= variants:
        raise ToolError(f"--show {which}: give a row and the number of a variant, e.g. A1/7, below {variants}")
    case = drawn(row, int(number), variants, seed, second)
    if save is not None:
        import numpy as np

        np.savez(save, mv=case.tape.mv, missing=case.tape.missing, fs_hz=case.tape.fs_hz, beats_s=case.tape.beats_s)
    received = received_from(case)
    print(f"{row}/{number}: {ROWS[row].title}; must: {ROWS[row].must}")
    print(detail(case, received, case.judge(received)))


if __name__ == "__main__":
    app = typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
    )
    app.command(help=__doc__)(main)
    run_command("clinical", app)
