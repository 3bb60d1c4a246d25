"""Test that no alarm is lost: python tools/bus_faults.py [--short] [--only burst,fuzzed]

Starts monitors and subscribers, kills, stops, floods, disconnects and fuzzes them, and compares the messages in the
monitor's journal with those that the subscriber was given. Ends with 1 where an alarm message was lost, came twice or
out of order. The figures are kept in --json, for the table of docs/bus.md.
"""

from __future__ import annotations

import json as json_module
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # test this working tree

from common.pages import save_json, write_page  # noqa: E402
from common.programs import run_command  # noqa: E402
from common.trials import chosen_trials, figures_of  # noqa: E402
from stress.faults import FAULTS, SHORT, Sizes, run_fault  # noqa: E402
from stress.verdict import faults_table  # noqa: E402

RESULTS = ROOT / "docs" / "results" / "bus_faults.json"

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.command(help=__doc__)
def main(
    only: Annotated[str, typer.Option(help=f"Of {', '.join(FAULTS)}, with commas.")] = ",".join(FAULTS),
    short: Annotated[
        bool, typer.Option("--short", help="One minute in all, as in the tests; keeps no figures.")
    ] = False,
    json: Annotated[Path, typer.Option(help="File that keeps the figures.")] = RESULTS,
    write: Annotated[bool, typer.Option("--write", help="Write the table into docs/bus.md and end.")] = False,
) -> None:
    """Carry out the faults, print the table, keep the figures."""
    if write:
        return write_page("docs/bus.md", "faults", faults_table(json_module.loads(json.read_text("utf-8"))))
    outcomes = []
    for name in chosen_trials(only, FAULTS):
        began_s = time.monotonic()
        outcomes += run_fault(name, SHORT if short else Sizes())
        print(f"{name}: {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
    figures = {"command": " ".join(["python tools/bus_faults.py", *sys.argv[1:]]), **figures_of(outcomes)}
    if not short:
        save_json(json, figures)
    print(faults_table(figures))
    raise typer.Exit(int(not all(outcome.good for outcome in outcomes)))


if __name__ == "__main__":
    run_command("bus_faults", app)
