"""Studies of the whole monitor on annotated records: python tools/study.py alarms | noise.

`alarms` compares the alarms of every record of cudb, mitdb and nstdb with the annotations (docs/alarms.md).
`noise` mixes the pure noises of nstdb into records of DS2, and counts beats and alarms (docs/quality.md).
Figures are kept in a file after every record, so that an interrupted study continues; delete the file to begin again.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # measure this working tree

from common.pages import write_page  # noqa: E402
from common.programs import run_command  # noqa: E402
from studies import alarms as alarms_study  # noqa: E402
from studies import noise as noise_study  # noqa: E402
from studies.alarms_table import alarms_table  # noqa: E402
from studies.runs import Runs, chosen  # noqa: E402

RESULTS = ROOT / "train" / "results"

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    help=__doc__,
)

Only = Annotated[str, typer.Option(help="Runs whose name has one of these words, with commas; default: all.")]
Json = Annotated[Path, typer.Option(help="File that keeps the figures.")]
Write = Annotated[bool, typer.Option("--write", help="Write the tables into the page and end.")]


@app.command()
def alarms(only: Only = "", json: Json = RESULTS / "alarms.json", write: Write = False) -> None:
    """Alarms against the annotations of cudb, mitdb and nstdb."""
    runs = Runs(json, "tools/study.py alarms")
    if write:
        return write_page("docs/alarms.md", "alarms", alarms_table(runs))
    runs.measure(chosen(alarms_study.jobs(), only), alarms_study.measure)
    return print(alarms_table(runs))


@app.command()
def noise(
    only: Only = "",
    minutes: Annotated[float, typer.Option(min=6, help="Length of the part of each record, min.")] = 30.1,
    json: Json = RESULTS / "noise.json",
    write: Write = False,
) -> None:
    """Beats and alarms with baseline wander, electrode motion and muscle artefact mixed in."""
    runs = Runs(json, "tools/study.py noise")
    if write:
        return write_page("docs/quality.md", "noise", noise_study.noise_table(runs))
    runs.measure(chosen(noise_study.jobs(minutes), only), noise_study.measure)
    return print(noise_study.noise_table(runs))


if __name__ == "__main__":
    run_command("study", app)
