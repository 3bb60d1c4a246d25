"""What the alarms are worth: python tools/alarms.py [--sets cudb,mitdb,nstdb] [--records cu01,207] [--limit 5].

Runs detector, shipped model, the patient's own reference and the alarm engine over every record of cudb, mitdb and
nstdb, and holds the alarms against the annotations: how soon ventricular fibrillation, ventricular runs, pauses and
extreme rates are told, and what is told that did not happen. Of mitdb the same events are given to engines with fewer
rules, so that the load of alarms before and after each rule is seen. What is measured is kept in --json after every
record, so that a run goes on where it stopped; docs/alarms.md is written from it (--write) and held equal to it
(--check).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # what is measured is this working tree

from alarm_study.study import SETS, Study, jobs_of, measure  # noqa: E402
from alarm_study.tell import put, tables  # noqa: E402
from studies.command import command_line, measure_all, tell_page  # noqa: E402
from studies.kept import StudyError  # noqa: E402

from train.data.records import DataError  # noqa: E402

RESULTS = ROOT / "train" / "results" / "alarms.json"
PAGE = ROOT / "docs" / "alarms.md"


def main(
    sets: Annotated[str, typer.Option(help="Data sets, with commas.")] = ",".join(SETS),
    records: Annotated[str, typer.Option(help="Only these records of them, with commas.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many runs, to try.")] = None,
    processes: Annotated[int, typer.Option(min=1, max=16)] = 2,
    json: Annotated[Path, typer.Option(help="Where the figures are kept.")] = RESULTS,
    again: Annotated[bool, typer.Option("--again", help="Measure anew what is in the file already.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the tables into docs/alarms.md and end.")] = False,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if docs/alarms.md differs, 0 if not.")] = False,
) -> None:
    """Measure, print the tables, keep the figures."""
    try:
        study = Study(json)
        if write or check:
            tell_page(PAGE, put, tables(study), check=check)
            return
        study.command = command_line("tools/alarms.py", sys.argv[1:])
        measure_all("alarms", study, jobs_of(sets, records)[:limit], measure, processes, again=again)
        print(tables(study))
    except (StudyError, DataError, OSError, ValueError) as error:
        print(f"alarms: {error}", file=sys.stderr)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
