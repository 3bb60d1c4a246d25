"""Studies of the whole monitor on annotated records: python tools/study.py alarms | noise.

`alarms` compares the alarms of every record of cudb, mitdb and nstdb with the annotations (docs/alarms.md).
`noise` mixes the pure noises of nstdb into records of DS2, and counts beats and alarms (docs/quality.md).
Figures are kept in a file after every record, so that an interrupted study continues.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # measure this working tree

from common.command import run_command  # noqa: E402
from common.pages import write_or_check  # noqa: E402
from studies import alarms as alarms_study  # noqa: E402
from studies import noise as noise_study  # noqa: E402
from studies.alarms_table import alarms_table  # noqa: E402
from studies.noise_table import noise_table  # noqa: E402
from studies.runs import Runs, command_line, measure_all  # noqa: E402

RESULTS = ROOT / "train" / "results"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=__doc__)

Limit = Annotated[int | None, typer.Option(min=1, help="Only the first runs, to try; default: all.")]
Processes = Annotated[int, typer.Option(min=1, max=16, help="Processes at the same time.")]
Json = Annotated[Path, typer.Option(help="File that keeps the figures.")]
Again = Annotated[bool, typer.Option("--again", help="Measure the runs again that the file has already.")]
Write = Annotated[bool, typer.Option("--write", help="Write the tables into the page and end.")]
Check = Annotated[bool, typer.Option("--check", help="End with 1 if the page differs, else 0.")]


@app.command()
def alarms(
    sets: Annotated[str, typer.Option(help="Data sets, with commas.")] = ",".join(alarms_study.SETS),
    records: Annotated[str, typer.Option(help="Records of them, with commas; default: all.")] = "",
    limit: Limit = None,
    processes: Processes = 2,
    json: Json = RESULTS / "alarms.json",
    again: Again = False,
    write: Write = False,
    check: Check = False,
) -> None:
    """Alarms against the annotations of cudb, mitdb and nstdb."""
    runs = Runs(json, "tools/study.py alarms", {"within_s": alarms_study.WITHIN_S})
    if write or check:
        return write_or_check([("docs/alarms.md", "alarms", alarms_table(runs))], check=check)
    jobs = alarms_study.jobs_of(sets, records)[:limit]
    runs.command = command_line("tools/study.py", sys.argv[1:])
    measure_all("alarms", runs, jobs, alarms_study.measure, processes, again=again)
    return print(alarms_table(runs))


@app.command()
def noise(
    records: Annotated[str, typer.Option(help="Records of mitdb, with commas; default: DS2.")] = "",
    noises: Annotated[
        str, typer.Option("--noise", help="bw, em, ma and nstdb (its own records), with commas.")
    ] = "bw,em,ma,nstdb",
    snr: Annotated[str, typer.Option(help="Signal-to-noise ratios, dB, with commas.")] = ",".join(
        map(str, noise_study.SNR_DB)
    ),
    limit: Limit = None,
    minutes: Annotated[float, typer.Option(min=6, help="Length of the part of each record, min.")] = 30.1,
    processes: Processes = 2,
    json: Json = RESULTS / "noise.json",
    again: Again = False,
    write: Write = False,
    check: Check = False,
) -> None:
    """Beats and alarms with baseline wander, electrode motion and muscle artefact mixed in."""
    runs = Runs(json, "tools/study.py noise", {"learning_s": noise_study.CLEAN_S})
    if write or check:
        return write_or_check([("docs/quality.md", "noise", noise_table(runs))], check=check)
    jobs = noise_study.jobs_of(records, noises, snr, minutes)[:limit]
    runs.command = command_line("tools/study.py", sys.argv[1:])
    measure_all("noise", runs, jobs, noise_study.measure, processes, again=again)
    return print(noise_table(runs))


if __name__ == "__main__":
    run_command("study", app)
