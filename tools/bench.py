"""Benchmarks, one sub-command each: python tools/bench.py replay | latency | rpeaks | score | beds | fleet | web.

`all` runs every one, `table` prints their figures. Each prints a table with its ratios; --json FILE writes the same
for a program. Programs that are compared run in turn, repeat by repeat, so that a busy machine slows both alike:
the ratios count, not the seconds.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # measure this working tree

from benchmarks.report import page_table, readme_table, show  # noqa: E402
from common.pages import write_page  # noqa: E402
from common.programs import ToolError, run_command  # noqa: E402

FIGURES = ROOT / "docs" / "results" / "bench"
QUICK = {  # name of each benchmark -> options of a trial
    "score": ("--beats", "64", "--repeats", "1"),
    "rpeaks": ("--seconds", "60", "--repeats", "1"),
    "latency": ("--seconds", "10"),
    "replay": ("--seconds", "60", "--repeats", "1"),
    "beds": ("--beds", "20", "--minutes", "0.2"),
    "fleet": ("--beds", "12", "--minutes", "0.3", "--shards", "2"),
    "web": ("--beds", "4", "--seconds", "8"),
}

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    help=__doc__,
)

Beds = Annotated[int, typer.Option(min=1, help="Number of beds.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")]
Minutes = Annotated[float, typer.Option(min=0.1, help="Length of the signal and of the run, min.")]
Out = Annotated[Path, typer.Option(help="Folder of the figures.")]
Repeats = Annotated[int, typer.Option(min=1, help="Number of repeats of each program; they take turns.")]
Seconds = Annotated[float | None, typer.Option(min=10, help="Length of the part of the record, s; default: all.")]


@app.command()
def replay(repeats: Repeats = 5, seconds: Seconds = None, json: Json = None) -> None:
    """A record at full speed, with process start and files, against neurokit2.ecg_process."""
    from benchmarks.replay import measure

    show(measure(repeats, seconds), json)


@app.command()
def latency(
    seconds: Annotated[float, typer.Option(min=4, help="Length of the signal and of the run, s.")] = 60,
    json: Json = None,
) -> None:
    """Deciding sample to message received by another process, in real time."""
    from benchmarks.latency import measure

    show(measure(seconds), json)


@app.command()
def score(
    beats: Annotated[int, typer.Option(min=1, help="Beats in each repeat, at each batch size.")] = 256,
    repeats: Repeats = 9,
    model: Annotated[str | None, typer.Option(help="ONNX file; default: the shipped model.")] = None,
    json: Json = None,
) -> None:
    """Milliseconds a beat, against the published architecture in eager torch where torch is installed."""
    from benchmarks.score import measure

    show(measure(beats, repeats, model), json)


@app.command()
def rpeaks(repeats: Repeats = 3, seconds: Seconds = None, json: Json = None) -> None:
    """Our R-peak stage against neurokit2 and wfdb: time, sensitivity, positive predictivity."""
    from benchmarks.rpeaks import measure

    show(measure(repeats, seconds), json)


@app.command()
def beds(beds: Beds = 600, minutes: Minutes = 5.0, json: Json = None) -> None:
    """Many beds in one process, in real time: alarm latency, losses, memory and processor time."""
    from benchmarks.beds import measure_beds

    show(measure_beds(beds, minutes), json)


@app.command()
def fleet(
    beds: Beds = 1000,
    minutes: Minutes = 10.0,
    shards: Annotated[int, typer.Option(min=0, help="Parts of the beds; 0 = 1 a core.")] = 0,
    json: Json = None,
) -> None:
    """Many beds on all cores by Ray, in real time: latency to an alarm received from the hub."""
    from benchmarks.beds import measure_fleet

    show(measure_fleet(beds, minutes, shards), json)


@app.command()
def web(
    beds: Beds = 32,
    seconds: Annotated[float, typer.Option(min=8, help="Length of each of the three parts, s.")] = 30,
    json: Json = None,
) -> None:
    """The page in Chromium: delay from sample to pixel, frames a second, the server's cost, many and slow clients."""
    from benchmarks.web import measure

    show(measure(beds, seconds), json)


@app.command("all")
def run_all(
    out: Out = FIGURES,
    only: Annotated[str, typer.Option(help="Names of benchmarks, with commas; default: all.")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Leave out the benchmarks that the folder has.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="A trial at small size; its figures mean little.")] = False,
) -> None:
    """Every benchmark in turn, half an hour on an idle machine; then the table."""
    names = [name for name in only.split(",") if name] or list(QUICK)
    if unknown := set(names) - set(QUICK):
        raise ToolError(f"--only {','.join(sorted(unknown))}: there are {', '.join(QUICK)}")
    out.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names, 1):
        file = out / f"{name}.json"
        if resume and file.exists():
            continue
        print(f"{number} of {len(names)}: {name}", file=sys.stderr, flush=True)
        sizes = QUICK[name] if quick else ()
        if subprocess.run([sys.executable, __file__, name, "--json", str(file), *sizes]).returncode:
            raise ToolError(f"{name} failed; continue with --resume")
    table(out)


@app.command()
def table(
    out: Out = FIGURES,
    write: Annotated[bool, typer.Option("--write", help="Write docs/performance.md and README.md.")] = False,
) -> None:
    """Print the figures of the folder, or write them into docs/performance.md and README.md."""
    if write:
        write_page("docs/performance.md", "bench", page_table(out))
        write_page("README.md", "speed", readme_table(out))
    else:
        print(page_table(out))


if __name__ == "__main__":
    run_command("bench", app)
