"""`python -m train`: fit, evaluate, table, curves, words, export, data. Bad input: one line, exit code 2."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer

# Packages of the extra `train`, as they are imported.
_EXTRA = ("torch", "onnx", "onnxscript", "sklearn", "matplotlib", "PIL")

app = typer.Typer(
    help="Train, evaluate and export the model that scores heartbeats. Needs the extra `train`.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# Error of a command line: typer exports only a class derived from it.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]

CsvDir = Annotated[
    Path | None,
    typer.Option("--csv-dir", help="Folder of the public mitbih_train.csv and mitbih_test.csv, instead of WFDB."),
]

Runs = Annotated[Path, typer.Option(help="Folder of all runs, one per configuration and data set.")]


@app.command()
def data() -> None:
    """Find (or download) mitdb and qtdb, rebuild the public beats and check their counts."""
    from train.data.kaggle import kaggle_beats, kaggle_split
    from train.data.records import class_counts, data_folder

    for name in ("mitdb", "qtdb"):
        typer.echo(f"{name}: {data_folder(name)}")
    beats = kaggle_beats()
    parts = {"all": beats} | dict(zip(("train", "test"), kaggle_split(beats), strict=True))
    for name, part in parts.items():
        counts = "  ".join(f"{label} {count}" for label, count in class_counts(part.labels).items())
        typer.echo(f"kaggle {name}: {len(part)} beats  {counts}")


@app.command()
def fit(
    out: Annotated[
        Path | None, typer.Option(help="Run folder; the same command resumes a killed fit. Default: in --runs.")
    ] = None,
    config: Annotated[str, typer.Option(help="Name of a configuration, or a .toml file.")] = "ours",
    data: Annotated[
        str | None,
        typer.Option(help="kaggle, or stream (beats as the monitor cuts them). Default: both; with --out kaggle."),
    ] = None,
    runs: Runs = Path("runs"),
    epochs_autoencoder: Annotated[int | None, typer.Option(help="Maximum number of epochs of stage 1.")] = None,
    epochs_flow: Annotated[int | None, typer.Option(help="Maximum number of epochs of stage 2.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, order, dropout and split.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="key=value; any key of the configuration.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    limit_records: Annotated[int | None, typer.Option(min=2, help="Only the first N records, for a trial.")] = None,
    csv_dir: CsvDir = None,
) -> None:
    """Fit encoder and flow on normal beats: `RUNS/CONFIG-kaggle`, then `RUNS/CONFIG-stream`, or one run folder."""
    import torch

    from train.config import load_config
    from train.evaluate.comparison import DATA, run_folder
    from train.evaluate.fitting import finished_run

    flags = {"epochs_autoencoder": epochs_autoencoder, "epochs_flow": epochs_flow, "seed": seed}
    overrides = [*(sets or ()), *(f"{key}={value}" for key, value in flags.items() if value is not None)]
    if threads:
        torch.set_num_threads(threads)
    if out is not None:
        wanted = [(data or "kaggle", out)]
    else:
        wanted = [(name, run_folder(runs, config, name)) for name in ((data,) if data else DATA)]
    for name, folder in wanted:
        finished_run(
            folder,
            load_config(config, overrides, name),
            name,
            csv_dir=csv_dir if name == "kaggle" else None,
            limit_records=limit_records,
            device=device,
            command=_command(),
            say=typer.echo,
        )


@app.command()
def evaluate(
    model: Annotated[
        Path | None, typer.Option(help="An .onnx file or a run folder. Default: all runs in --runs, shipped model.")
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="kaggle, inter, stream, nstdb, or all of these (that fit the model). "
            "databases: fits and reports the trials of train/trials.toml."
        ),
    ] = "all",
    trial: Annotated[
        list[str] | None, typer.Option(help="databases: only this trial; may be repeated. Default: all.")
    ] = None,
    left_out: Annotated[
        list[str] | None, typer.Option(help="databases: leave out and report only this group; may be repeated.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="databases: CPU threads of the fits.")] = None,
    runs: Annotated[Path | None, typer.Option(help="Folder of all runs. Default: runs.")] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="Without --model: folder for JSON and PNG files. Default: train/results."),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="JSON file for all figures.")] = None,
    figures: Annotated[Path | None, typer.Option(help="Folder for the PNG files.")] = None,
    limit_records: Annotated[
        int | None, typer.Option(min=1, help="Only the first N records of each set, for a trial.")
    ] = None,
    csv_dir: CsvDir = None,
    recording: Annotated[
        Path | None, typer.Option(help="Evaluate a folder of `ecg-monitor --record`, instead of a model.")
    ] = None,
    record: Annotated[str | None, typer.Option(help="The record that was replayed for --recording.")] = None,
    learning_s: Annotated[
        float, typer.Option(min=0, help="stream: seconds at the start of each record that do not count.")
    ] = 300.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of bootstrap and random examples.")] = 0,
) -> None:
    """Evaluate one model or all by the protocols, with the reference scores computed in the same run."""
    from rich.console import Console

    from train.errors import DataError
    from train.evaluate import evaluate as ev
    from train.evaluate.console_tables import print_tables
    from train.evaluate.results import FOLDER, TRIALS, write_result
    from train.run_trials import run_trials

    def progress(text: str) -> None:
        typer.echo(text, err=True)

    if protocol == "databases":
        others = {"--model": model, "--recording": recording, "--record": record, "--csv-dir": csv_dir}
        if given := _given(others | {"--figures": figures}):
            raise DataError(f"--protocol databases fits its own models: give --trial NAME, not {given}")
        target = json or (results or FOLDER) / TRIALS
        if limit_records is not None and json is None and results is None:
            raise DataError("--limit-records is for a trial run: give --json or --results as well")
        run_trials(
            trial or (),
            runs or Path("runs"),
            target,
            left_out or (),
            limit_records,
            seed,
            threads,
            typer.echo,
            progress,
        )
        typer.echo(f"wrote {target}")
        return
    if given := _given({"--trial": trial, "--left-out": left_out, "--threads": threads}):
        raise DataError(f"{given}: give it with --protocol databases only")
    conditions = ev.Conditions(csv_dir, limit_records, learning_s, seed)
    evaluations: Iterable[ev.Evaluation]
    folder = None
    if recording is not None:
        if record is None or protocol not in ("all", "stream"):
            raise DataError("--recording needs --record NAME, and --protocol stream")
        evaluations = [ev.evaluate_recording(recording, record, conditions, _command())]
    elif model is not None:
        evaluations = ev.evaluate_model(model, protocol, conditions, _command(), progress)
    else:
        if runs is not None and not any(runs.glob("*/best_model.pt")):
            raise DataError(f"--runs {runs}: holds no finished fit; fit a model, or give --model or --recording")
        evaluations = ev.evaluate_runs(runs or Path("runs"), protocol, conditions, progress)
        folder = results or (None if conditions.limited else FOLDER)
    # Without a terminal: wide enough that no column is cut.
    console = Console() if sys.stdout.isatty() else Console(width=140)
    written = []
    for one in evaluations:
        print_tables(one.outcome, console)
        written.append(one.result)
        if place := figures or folder:
            for path in ev.draw_figures(one.outcome, one.model, place):
                typer.echo(f"wrote {path}")
        if folder:
            typer.echo(f"wrote {write_result(folder, one.result)}")
    if json:
        ev.write_results(json, written)
        typer.echo(f"wrote {json}")


@app.command()
def table(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit code 1 if a page is outdated.")] = False,
    results: Annotated[Path | None, typer.Option(help="Folder of the JSON files. Default: train/results.")] = None,
    readme: Annotated[Path | None, typer.Option(help="Page for the short table. Default: README.md.")] = None,
    page: Annotated[Path | None, typer.Option(help="Page for all tables. Default: docs/quality.md.")] = None,
    experiments: Annotated[
        Path | None, typer.Option(help="Page for the table of trials. Default: docs/experiments.md.")
    ] = None,
) -> None:
    """Write the results into docs/quality.md (all tables), README.md (a short table), docs/experiments.md (trials)."""
    from train.databases_table import EXPERIMENTS_PAGE, rendered_experiments
    from train.evaluate.results import FOLDER
    from train.tables import QUALITY_PAGE, README, rendered_pages

    outdated = False
    pages = rendered_pages(results or FOLDER, readme or README, page or QUALITY_PAGE)
    pages |= rendered_experiments(results or FOLDER, experiments or EXPERIMENTS_PAGE)
    for path, text in pages.items():
        if text == path.read_text("utf-8"):
            typer.echo(f"{path.name} agrees with the results")
        elif check:
            typer.echo(f"{path.name} differs from the results: run `python -m train table`", err=True)
            outdated = True
        else:
            path.write_text(text, "utf-8")
            typer.echo(f"wrote {path}")
    if outdated:
        raise typer.Exit(1)


@app.command()
def curves(
    out: Annotated[Path | None, typer.Option(help="JSON file. Default: beside the shipped model.")] = None,
) -> None:
    """Write figures, ROC and score histogram of the shipped model as numbers; the demo draws them."""
    from train.curves import write_card_curves

    typer.echo(f"wrote {write_card_curves(out, lambda text: typer.echo(text, err=True))}")


@app.command()
def words(
    model: Annotated[Path | None, typer.Option(help="An .onnx file. Default: the shipped model.")] = None,
    json: Annotated[
        Path | None, typer.Option(help="JSON file for the tables. Default: train/results/words.json.")
    ] = None,
) -> None:
    """Table of the words that explain the beats of each class, over DS1 and DS2."""
    from detector import Scorer
    from train.evaluate.explanations import explanation_report, report_text
    from train.evaluate.results import FOLDER, rounded, write_report

    scorer = Scorer(model)
    report = {"command": "python -m train words", "model_sha256": scorer.info.sha256, **explanation_report(scorer)}
    typer.echo(report_text(report))
    typer.echo(f"wrote {write_report(json or FOLDER / 'words.json', rounded(report))}")


@app.command()
def export(
    run: Annotated[Path, typer.Option(help="Folder of a finished fit.")],
    out: Annotated[Path, typer.Option(help="ONNX file to write.")],
    name: Annotated[str | None, typer.Option(help="Name of the model. Default: name of the folder.")] = None,
    version: Annotated[str, typer.Option(help="Version of the model.")] = "1",
    csv_dir: CsvDir = None,
) -> None:
    """Write a run as one ONNX file with calibration and metadata, and compare its scores with torch."""
    from train.export.export_run import export_run

    report = export_run(run, out, name=name, version=version, csv_dir=csv_dir)
    typer.echo(
        f"{report.path}: sha256 {report.sha256}\n"
        f"ONNX against torch on {report.beats:,} training normals: largest difference {report.parity:.2e} nats, "
        f"99.9 % of the beats within {report.parity_usual:.2e}, same side of the threshold for all\n"
        f"threshold score > {report.threshold:.4f}, calibrated on {report.patients or 'no'} patients, "
        f"alpha {report.alpha:g}"
    )


@app.command("import-published")
def import_published(
    model: Annotated[Path, typer.Option(help="best_model.pt of the published layout.")],
    config: Annotated[Path, typer.Option(help="train_config.json of the same model.")],
    normals: Annotated[Path, typer.Option(help=".npz or .json with mean and std, or mitbih_train.csv.")],
    out: Annotated[Path, typer.Option(help="ONNX file to write.")],
    beat_definition: Annotated[str, typer.Option(help="Definition of the training beats.")] = "kaggle/1",
    threshold: Annotated[float | None, typer.Option(help="log p, nats. Default: from the normals of the CSV.")] = None,
    r_index: Annotated[int, typer.Option(min=0, help="Sample of the R-peak in a beat.")] = 0,
    name: Annotated[str, typer.Option(help="Name of the model.")] = "published",
) -> None:
    """Convert published weights to an ONNX file."""
    from train.export.published import import_published as run_import

    path = run_import(
        model, config, normals, out, beat_definition=beat_definition, threshold=threshold, r_index=r_index, name=name
    )
    typer.echo(f"wrote {path}")


def run_app() -> int:
    """Run the command of the command line.

    Returns:
        Exit code: 2 and one line on standard error for an error that the user can correct.
    """
    try:
        code = app(prog_name="python -m train", standalone_mode=False)
    except _UsageError as error:
        context = getattr(error, "ctx", None)
        message = getattr(error, "format_message", error.__str__)()
        return _failed(f"{message.rstrip('.')}; see {getattr(context, 'command_path', 'python -m train')} --help")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        typer.echo(f"train needs {error.name}: python -m pip install -e '.[train]'", err=True)
        return 2
    except Exception as error:
        from detector import ModelError
        from train.errors import TrainError

        if not isinstance(error, TrainError | ModelError | ValueError):
            raise
        return _failed(str(error))
    return code if isinstance(code, int) else 0


def _failed(text: str) -> int:
    typer.echo(f"error: {' '.join(text.split())}", err=True)
    return 2


def _command() -> str:
    return shlex.join(["python", "-m", "train", *sys.argv[1:]])


def _given(options: Mapping[str, object]) -> str:
    """Names of the options that have a value."""
    return ", ".join(name for name, value in options.items() if value)
