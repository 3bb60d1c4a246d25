"""Attack a monitor and report what happens: python tools/attacks.py [--only flood,topics]

Each attack starts a monitor as a program, attacks it, and measures the latency of its beats meanwhile. Ends with 1
where a monitor died, or an honest client lost what it is due. The figures are kept in --json, for docs/bus.md;
with --page the page for browsers is attacked, and the table stands in docs/web.md.
"""

from __future__ import annotations

import json as json_module
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # test this working tree

from attacks.attack import attacks_table  # noqa: E402
from attacks.catalogue import ATTACKS, PAGE_ATTACKS  # noqa: E402
from common.pages import save_json, write_page  # noqa: E402
from common.programs import run_command  # noqa: E402
from common.trials import chosen_trials, figures_of  # noqa: E402

RESULTS = ROOT / "docs" / "results"

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.command(help=__doc__)
def main(
    only: Annotated[str, typer.Option(help="Names of attacks, with commas; default: all.")] = "",
    json: Annotated[
        Path | None, typer.Option(help="File that keeps the figures; --only replaces those of its attacks.")
    ] = None,
    page: Annotated[bool, typer.Option("--page", help="Attack the page for browsers instead of the bus.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the table into the docs and end.")] = False,
) -> None:
    """Carry out the attacks, print the table, keep the figures."""
    attacks = PAGE_ATTACKS if page else ATTACKS
    json = json or RESULTS / ("page_attacks.json" if page else "attacks.json")
    command = "python tools/attacks.py" + (" --page" if page else "")
    if write:
        table = attacks_table(json_module.loads(json.read_text("utf-8")), command)
        return write_page("docs/web.md" if page else "docs/bus.md", "attacks", table)
    outcomes = []
    for name in chosen_trials(only, attacks):
        with tempfile.TemporaryDirectory(prefix="ecg-attack-") as folder:
            outcome = attacks[name](Path(folder))
        print(f"{name}: {'good' if outcome.good else 'BAD'}: {outcome.now}", file=sys.stderr, flush=True)
        outcomes.append(outcome)
    figures = figures_of(outcomes)
    kept = json_module.loads(json.read_text("utf-8"))["outcomes"] if only and json.exists() else []
    by_attack = {row["attack"]: row for row in (*kept, *figures["outcomes"])}  # in the order of the first run
    save_json(json, figures | {"outcomes": list(by_attack.values())})
    print(attacks_table(figures, command))
    raise typer.Exit(int(not all(outcome.good for outcome in outcomes)))


if __name__ == "__main__":
    run_command("attacks", app)
