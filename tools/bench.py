"""Benchmarks, one sub-command a question: python tools/bench.py score | rpeaks | start | latency | replay | memory |
ward | beds | fleet | curve | hub; `all` runs every one, `table` tells what they found.

Each prints a table with its ratios, and with --json FILE writes the same for a program. What is compared runs in
turn, repeat by repeat, so that a busy machine slows both alike: the ratios count, not the seconds.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # what is measured is this working tree

from benchmarks.report import BenchError, Report, show

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "results" / "bench"
QUICK = {  # every benchmark, and how it is tried
    "score": ("--beats", "64", "--repeats", "1"),
    "rpeaks": ("--seconds", "60", "--repeats", "1"),
    "start": ("--repeats", "1"),
    "latency": ("--seconds", "10"),
    "replay": ("--seconds", "60", "--repeats", "1"),
    "memory": ("--hours", "0.05"),
    "ward": ("--beds", "20", "--seconds", "2"),
    "beds": ("--beds", "20", "--minutes", "0.2"),
    "fleet": ("--beds", "12", "--minutes", "0.3", "--shards", "2"),
    "curve": ("--counts", "1,5", "--seconds", "10"),
}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=__doc__)

Beds = Annotated[str, typer.Option(help="What the beds watch; mitdb:* = all records in turn.")]
Journal = Annotated[bool, typer.Option(help="Keep a journal in a file, as a ward would.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write the figures into this file.")]
Model = Annotated[str | None, typer.Option(help="ONNX file; default: the shipped model.")]
Record = Annotated[str, typer.Option(help="Record of mitdb.")]
Repeats = Annotated[int, typer.Option(min=1, help="How often each is run; they take turns.")]
Seconds = Annotated[float | None, typer.Option(min=10, help="How much of the record, s; default: all.")]
Seed = Annotated[int, typer.Option(min=0, help="Of every random number.")]


@app.command()
def replay(
    record: Record = "208", repeats: Repeats = 5, seconds: Seconds = None, model: Model = None, json: Json = None
) -> None:
    """A record at full speed, process start and files included, against neurokit2.ecg_process."""
    from benchmarks.replay import measure

    _show(measure(record, repeats, seconds, model), json)


@app.command()
def start(repeats: Repeats = 5, model: Model = None, json: Json = None) -> None:
    """Time to --help, to the first frame of the dashboard, to the first scored beat."""
    from benchmarks.start import measure

    _show(measure(repeats, model), json)


@app.command()
def latency(
    source: Annotated[str, typer.Option(help="What to watch; it must give the same at every run.")] = "sim",
    seconds: Annotated[float, typer.Option(min=5, help="Of signal, and of your time.")] = 60,
    seed: Seed = 1,
    model: Model = None,
    json: Json = None,
) -> None:
    """Deciding sample to message received by another process, in real time."""
    from benchmarks.latency import measure

    _show(measure(source, seconds, seed, model), json)


@app.command()
def memory(
    hours: Annotated[float, typer.Option(min=0.01, help="Of signal, at full speed.")] = 8.0,
    every: Annotated[float, typer.Option(min=0.01, help="How often to look, s.")] = 1.0,
    record: Annotated[bool, typer.Option(help="Write the session to a folder meanwhile.")] = True,
    seed: Seed = 1,
    model: Model = None,
    json: Json = None,
) -> None:
    """Resident memory over hours of signal: how much, and whether it grows."""
    from benchmarks.memory import measure

    _show(measure(hours, every, seed, record, model), json)


@app.command()
def score(
    beats: Annotated[int, typer.Option(min=1, help="Scored in each repeat, at each batch size.")] = 256,
    repeats: Repeats = 9,
    seed: Seed = 1,
    model: Model = None,
    json: Json = None,
) -> None:
    """Milliseconds a beat, against the published architecture in eager torch where torch is installed."""
    from benchmarks.score import measure

    _show(measure(beats, repeats, seed, model), json)


@app.command()
def rpeaks(record: Record = "208", repeats: Repeats = 3, seconds: Seconds = None, json: Json = None) -> None:
    """Our R-peak stage against neurokit2 and wfdb: time, sensitivity, positive predictivity."""
    from benchmarks.rpeaks import measure

    _show(measure(record, repeats, seconds), json)


@app.command()
def beds(
    beds: Annotated[int, typer.Option(min=1, help="How many.")] = 600,
    minutes: Annotated[float, typer.Option(min=0.1, help="Of signal, and of your time.")] = 5.0,
    source: Beds = "mitdb:*",
    seed: Seed = 1,
    journal: Journal = True,
    model: Model = None,
    json: Json = None,
) -> None:
    """Many beds in real time: deciding sample to alarm received, what is lost, memory and processor."""
    from benchmarks.beds import measure

    _show(measure(beds, minutes, source, seed, journal, model), json)


@app.command()
def fleet(
    beds: Annotated[int, typer.Option(min=1, help="How many.")] = 1000,
    minutes: Annotated[float, typer.Option(min=0.1, help="Of signal, and of your time.")] = 10.0,
    shards: Annotated[int, typer.Option(min=0, help="Parts of the beds; 0 = 1 a core.")] = 0,
    source: Beds = "mitdb:*",
    seed: Seed = 1,
    json: Json = None,
) -> None:
    """Many beds in real time on all cores, by Ray: deciding sample to alarm received from the hub."""
    from benchmarks.fleet import measure

    _show(measure(beds, minutes, shards, source, seed), json)


@app.command()
def curve(
    counts: Annotated[str, typer.Option(help="Numbers of beds.")] = "1,10,100,1000,3000",
    seconds: Annotated[float, typer.Option(min=5, help="Of signal of each bed, each number.")] = 30,
    source: Beds = "mitdb:*",
    seed: Seed = 1,
    journal: Journal = True,
    plot: Annotated[Path | None, typer.Option(help="Draw it into this file, PNG or SVG.")] = None,
    model: Model = None,
    json: Json = None,
) -> None:
    """What beds cost from one to thousands: processor and memory."""
    from benchmarks.curve import measure

    try:
        numbers = sorted({int(word) for word in counts.split(",")})
    except ValueError:
        numbers = [0]
    if numbers[0] < 1:
        raise BenchError(f"--counts {counts}: give numbers of beds, e.g. 1,10,100")
    _show(measure(numbers, seconds, source, seed, journal, model, plot, lambda line: print(line, flush=True)), json)


@app.command()
def ward(
    beds: Annotated[int, typer.Option(min=1, help="On one bus, made up.")] = 1000,
    seconds: Annotated[float, typer.Option(min=1, help="Measured at each size of the terminal, s.")] = 20,
    settle: Annotated[float, typer.Option(min=0, help="Left out before, s.")] = 8,
    json: Json = None,
) -> None:
    """Share of a core that the dashboard of many beds takes."""
    from benchmarks.ward import measure

    _show(measure(beds, seconds, settle), json)


@app.command()
def hub(
    messages: Annotated[int, typer.Option(min=1000, help="Sent in each repeat.")] = 20_000,
    beds: Annotated[int, typer.Option(min=1, help="In turn.")] = 100,
    repeats: Repeats = 3,
    json: Json = None,
) -> None:
    """What the hub of a fleet costs a message, against a proxy that passes bytes on."""
    from benchmarks.hub import measure

    _show(measure(messages, beds, repeats), json)


@app.command("all")
def everything(
    out: Annotated[Path, typer.Option(help="Folder of the figures.")] = FIGURES,
    only: Annotated[str, typer.Option(help="Some of them, with commas.")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Leave out what the folder has already.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="At toy size, to try: its figures say little.")] = False,
) -> None:
    """Every benchmark in turn, half an hour on a quiet machine, then the table of all."""
    names = [name for name in only.split(",") if name] or list(QUICK)
    if unknown := set(names) - set(QUICK):
        raise BenchError(f"--only {','.join(sorted(unknown))}: there are {', '.join(QUICK)}")
    out.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names, 1):
        file = out / f"{name}.json"
        if resume and file.exists():
            continue
        print(f"{number} of {len(names)}: {name}", file=sys.stderr, flush=True)
        drawn = ("--plot", str(file.with_suffix(".png"))) if name == "curve" else ()
        sizes = QUICK[name] if quick else ()
        if subprocess.run([sys.executable, __file__, name, "--json", str(file), *drawn, *sizes]).returncode:
            raise BenchError(f"{name} failed; go on with --resume once it is mended")
    table(out)


@app.command()
def table(
    out: Annotated[Path, typer.Option(help="Folder of the figures.")] = FIGURES,
    write: Annotated[bool, typer.Option("--write", help="Write the table into README.md and end.")] = False,
    check: Annotated[bool, typer.Option("--check", help="End with 1 if README.md differs, 0 if not.")] = False,
) -> None:
    """The figures that the project is held to, as a table."""
    from benchmarks.summary import put
    from benchmarks.summary import table as summary
    from studies.command import tell_page

    if write or check:
        tell_page(ROOT / "README.md", put, summary(out), check=check)
    else:
        print(summary(out))


def _show(report: Report, json: Path | None) -> None:
    console = Console()
    show(report, console if console.is_terminal else Console(width=110), json)  # a pipe has no width of its own


def main() -> None:
    """Run; what keeps a benchmark from running is one line and exit code 2."""
    try:
        app()
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
