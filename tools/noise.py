"""What noise does to the monitor: python tools/noise.py [--records 100,103] [--snr 6,-6] [--noise em] [--limit 5].

Mixes the pure noises of nstdb (bw baseline wander, em electrode motion, ma muscle artefact) into records of mitdb, and
plays nstdb's own records, through the whole bed: detector, shipped model, alarms. Noise comes as in nstdb, after five
clean minutes for two minutes in every four. Limits of the detector were chosen on DS1 and on the first fifteen minutes
of each noise (but see docs/quality.md); here are DS2 and the second fifteen.
What is measured is kept in --json after every record, so that a run goes on where it stopped;
docs/quality.md is written from it (--write) and held equal to it (--check).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # what is measured is this working tree

from noise_study.study import SNR_DB, Study, jobs_of, measure  # noqa: E402
from noise_study.tell import put, tables  # noqa: E402
from studies.command import command_line, measure_all, tell_page  # noqa: E402
from studies.kept import StudyError  # noqa: E402

RESULTS = ROOT / "train" / "results" / "noise.json"
PAGE = ROOT / "docs" / "quality.md"


def main(
    records: Annotated[str, typer.Option(help="Records of mitdb, with commas; default: DS2.")] = "",
    noise: Annotated[str, typer.Option(help="bw, em, ma and nstdb (its own records), with commas.")] = "bw,em,ma,nstdb",
    snr: Annotated[str, typer.Option(help="Signal-to-noise ratios, dB, with commas.")] = ",".join(map(str, SNR_DB)),
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many runs, to try.")] = None,
    minutes: Annotated[float, typer.Option(min=6, help="How much of each record.")] = 30.1,
    processes: Annotated[int, typer.Option(min=1, max=16)] = 2,
    json: Annotated[Path, typer.Option(help="Where the figures are kept.")] = RESULTS,
    again: Annotated[bool, typer.Option("--again", help="Measure anew what is in the file already.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the tables into docs/quality.md and end.")] = False,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if docs/quality.md differs, 0 if not.")] = False,
) -> None:
    """Measure, print the tables, keep the figures."""
    try:
        study = Study(json)
        if write or check:
            tell_page(PAGE, put, tables(study), check=check)
            return
        study.command = command_line("tools/noise.py", sys.argv[1:])
        measure_all("noise", study, jobs_of(records, noise, snr, minutes)[:limit], measure, processes, again=again)
        print(tables(study))
    except (StudyError, OSError, ValueError) as error:
        print(f"noise: {error}", file=sys.stderr)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
