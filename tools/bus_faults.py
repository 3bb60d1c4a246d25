"""Does an alarm get lost? python tools/bus_faults.py [--short] [--only burst,fuzzed]

Starts monitors and subscribers, kills, stops, floods, cuts off and fuzzes them, and counts what the monitor's journal
says was sent against what the subscriber was given. Ends with 1 where an alarm message was lost, came twice or out of
order. The figures are kept in --json; docs/bus.md is written from them (--write) and held equal to them (--check).
"""

from __future__ import annotations

import json as json_module
import os
import platform
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # what is tested is this working tree

from faulting.faults import FAULTS, SHORT, Sizes, run_fault  # noqa: E402
from faulting.programs import FaultError  # noqa: E402
from faulting.tell import as_json, put, read, table  # noqa: E402

RESULTS = ROOT / "docs" / "results" / "bus_faults.json"
PAGE = ROOT / "docs" / "bus.md"


def main(
    only: Annotated[str, typer.Option(help=f"Of {', '.join(FAULTS)}, with commas.")] = ",".join(FAULTS),
    short: Annotated[bool, typer.Option("--short", help="A minute in all, as in the tests; keeps no figures.")] = False,
    json: Annotated[Path, typer.Option(help="Where the figures are kept.")] = RESULTS,
    write: Annotated[bool, typer.Option("--write", help="Write the table into docs/bus.md and end.")] = False,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if docs/bus.md differs, 0 if not.")] = False,
) -> None:
    """Carry out the faults, print the table, keep the figures."""
    try:
        if write or check:
            page = put(PAGE.read_text("utf-8"), table(read(json)))
            if check:
                raise typer.Exit(int(page != PAGE.read_text("utf-8")))
            PAGE.write_text(page, "utf-8")
            return
        names = only.split(",")
        if unknown := [name for name in names if name not in FAULTS]:
            raise ValueError(f"--only {unknown[0]}: there are {', '.join(FAULTS)}")
        outcomes = []
        for name in names:
            began_s = time.monotonic()
            outcomes += run_fault(name, SHORT if short else Sizes())
            print(f"{name}: {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
        words = " ".join(["python tools/bus_faults.py", *sys.argv[1:]])
        text = as_json(outcomes, words, f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}")
        if not short:
            json.parent.mkdir(parents=True, exist_ok=True)
            json.write_text(text, "utf-8")
        print(table(json_module.loads(text)))
        raise typer.Exit(int(not all(outcome.good for outcome in outcomes)))
    except (FaultError, OSError, ValueError) as error:
        print(f"bus_faults: {error}", file=sys.stderr)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)
