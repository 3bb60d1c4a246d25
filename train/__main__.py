"""`python -m train`: fit, evaluate, table, words, export, import-published, data. Bad input: one line, exit code 2."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

_MENDABLE = ("ConfigError", "DataError", "ExportError", "FitError", "ModelError", "RunError")

app = typer.Typer(
    help="Train, judge and export the model that scores heartbeats. Needs the extra `train`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

CsvDir = Annotated[
    Path | None,
    typer.Option("--csv-dir", help="Folder of the public mitbih_train.csv and mitbih_test.csv, instead of WFDB."),
]

Runs = Annotated[Path, typer.Option(help="Folder of all runs, one a configuration and a data set.")]


@app.command()
def data() -> None:
    """Find (or download) the MIT-BIH records, rebuild the public beats and check their counts."""
    from train.data.kaggle import kaggle_beats, kaggle_split
    from train.data.records import class_counts, data_folder

    typer.echo(f"mitdb: {data_folder('mitdb')}")
    beats = kaggle_beats()
    parts = {"all": beats} | dict(zip(("train", "test"), kaggle_split(beats), strict=True))
    for name, part in parts.items():
        counts = "  ".join(f"{label} {count}" for label, count in class_counts(part.labels).items())
        typer.echo(f"kaggle {name}: {len(part)} beats  {counts}")


@app.command()
def fit(
    out: Annotated[
        Path | None, typer.Option(help="Run folder; the same command goes on where it was killed. Default: in --runs.")
    ] = None,
    config: Annotated[str, typer.Option(help="Name of a configuration, or a .toml file.")] = "ours",
    data: Annotated[
        str | None,
        typer.Option(help="kaggle, or stream (the monitor's beats of DS1). Default: both; with --out kaggle."),
    ] = None,
    runs: Runs = Path("runs"),
    epochs_autoencoder: Annotated[int | None, typer.Option(help="At most so many.")] = None,
    epochs_flow: Annotated[int | None, typer.Option(help="At most so many.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order, dropout and split.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="key=value; any key of the file.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    limit_records: Annotated[int | None, typer.Option(min=2, help="Only the first N records, to try.")] = None,
    csv_dir: CsvDir = None,
) -> None:
    """Fit encoder and flow on normal beats: `RUNS/CONFIG-kaggle`, then `RUNS/CONFIG-stream`, or one run folder."""
    import torch

    from train.evaluate.comparison import DATA, run_folder

    flags = {"epochs_autoencoder": epochs_autoencoder, "epochs_flow": epochs_flow, "seed": seed}
    overrides = [*(sets or ()), *(f"{key}={value}" for key, value in flags.items() if value is not None)]
    if threads:
        torch.set_num_threads(threads)
    if out is not None:
        wanted = [(data or "kaggle", out)]
    else:
        wanted = [(name, run_folder(runs, config, name)) for name in ((data,) if data else DATA)]
    for name, folder in wanted:
        _fit_one(config, overrides, name, folder, device, limit_records, csv_dir if name == "kaggle" else None)


def _fit_one(
    config: str,
    overrides: list[str],
    data: str,
    out: Path,
    device: str,
    limit_records: int | None,
    csv_dir: Path | None,
) -> None:
    """Fit one configuration on one data set, unless that is done."""
    from detector import BEAT_DEFINITION
    from train.config import load_config
    from train.data.kaggle import KAGGLE_DEFINITION
    from train.data.records import NormalBeats
    from train.evaluate.comparison import finished
    from train.export.loaded_model import training_beats
    from train.fit.fit import fit as run_fit

    settings = load_config(config, overrides, data)
    facts = {"limit_records": limit_records, "csv": csv_dir is not None}
    if told := finished(out, settings, data, facts):
        typer.echo(f"{out}: finished already, held-out -log p {told['held_out_nll']:.4f} nats; remove it to fit anew")
        return
    normals = NormalBeats(training_beats(data, csv_dir, limit_records))
    typer.echo(f"{len(normals)} normal beats of {data}; configuration {config}, seed {settings.seed}")
    result = run_fit(
        normals,
        settings,
        out,
        data=data,
        beat_definition=KAGGLE_DEFINITION if data == "kaggle" else BEAT_DEFINITION,
        by_record=data != "kaggle",
        command=_command(),
        facts=facts,
        device=device,
    )
    typer.echo(
        f"{result.out}: held-out -log p {result.held_out_nll:.4f} nats, "
        f"threshold score > {result.score_threshold:.4f} (quantile {1 - settings.threshold_quantile:g})"
    )


@app.command()
def evaluate(
    model: Annotated[
        Path | None, typer.Option(help="An .onnx file or a run folder. Default: every run of --runs, and what ships.")
    ] = None,
    protocol: Annotated[str, typer.Option(help="kaggle, inter, stream, nstdb, or all (that fit the model).")] = "all",
    runs: Runs = Path("runs"),
    results: Annotated[
        Path | None,
        typer.Option(help="Without --model: folder of JSON and PNG. Default: train/results."),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write every figure here.")] = None,
    figures: Annotated[Path | None, typer.Option(help="Folder for the figures, PNG.")] = None,
    limit_records: Annotated[
        int | None, typer.Option(min=1, help="Only the first N records of each set, to try.")
    ] = None,
    csv_dir: CsvDir = None,
    recording: Annotated[
        Path | None, typer.Option(help="Judge what `ecg-monitor --record` wrote, instead of a model.")
    ] = None,
    record: Annotated[str | None, typer.Option(help="The record that was replayed for --recording.")] = None,
    learning_s: Annotated[float, typer.Option(min=0, help="stream: this begin of a record does not count, s.")] = 300.0,
    seed: Annotated[int, typer.Option(min=0, help="Of bootstrap and draws.")] = 0,
) -> None:
    """Judge all models, or one, by the protocols, with the reference scores computed in the same run."""
    from rich.console import Console

    from train.data.records import DataError
    from train.evaluate import evaluate as ev
    from train.evaluate.results import FOLDER, write_result
    from train.evaluate.tables import show

    def tell(text: str) -> None:
        typer.echo(text, err=True)

    conditions = ev.Conditions(csv_dir, limit_records, learning_s, seed)
    judged: Iterable[ev.Judgement]
    folder = None
    if recording is not None:
        if record is None or protocol not in ("all", "stream"):
            raise DataError("--recording needs --record NAME, and --protocol stream")
        judged = [ev.judge_recording(recording, record, conditions, _command())]
    elif model is not None:
        judged = ev.judge_model(model, protocol, conditions, _command(), tell)
    else:
        judged = ev.judge_runs(runs, protocol, conditions, tell)
        folder = results or (None if conditions.limited else FOLDER)
    # Not on a terminal: wide enough that no column is cut.
    console = Console() if sys.stdout.isatty() else Console(width=140)
    told = []
    for one in judged:
        show(one.outcome, console)
        told.append(one.result)
        if place := figures or folder:
            for path in ev.figures(one.outcome, one.model, place):
                typer.echo(f"wrote {path}")
        if folder:
            typer.echo(f"wrote {write_result(folder, one.result)}")
    if json:
        ev.write_outcome(json, told)
        typer.echo(f"wrote {json}")


@app.command()
def table(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit code 1 if README.md differs.")] = False,
    results: Annotated[Path | None, typer.Option(help="Folder of the JSON files. Default: train/results.")] = None,
    readme: Annotated[Path | None, typer.Option(help="The file with the two markers. Default: README.md.")] = None,
) -> None:
    """Put the tables of results into the README."""
    from train.evaluate.results import FOLDER
    from train.tables import README, rendered

    path = readme or README
    text = rendered(results or FOLDER, path)
    if text == path.read_text("utf-8"):
        typer.echo(f"{path.name} tells what the results tell")
    elif check:
        typer.echo(f"{path.name} differs from the results: run `python -m train table`", err=True)
        raise typer.Exit(1)
    else:
        path.write_text(text, "utf-8")
        typer.echo(f"wrote {path}")


@app.command()
def words(
    model: Annotated[Path | None, typer.Option(help="An .onnx file. Default: the shipped one.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the tables here. Default: train/results/words.json.")] = None,
) -> None:
    """Which words the monitor finds for the beats of each class, over DS1 and DS2."""
    from detector import Scorer
    from train.evaluate import explanations as wd
    from train.evaluate.results import FOLDER, rounded

    scorer = Scorer(model)
    report = {"command": "python -m train words", "model_sha256": scorer.info.sha256, **wd.words_report(scorer)}
    typer.echo(wd.show(report))
    path = json or FOLDER / "words.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(wd.save(rounded(report)), "utf-8")
    typer.echo(f"wrote {path}")


@app.command()
def export(
    run: Annotated[Path, typer.Option(help="Folder of a finished fit.")],
    out: Annotated[Path, typer.Option(help="ONNX file to write.")],
    name: Annotated[str | None, typer.Option(help="Name of the model; default: that of the folder.")] = None,
    version: Annotated[str, typer.Option(help="Version of the model.")] = "1",
    csv_dir: CsvDir = None,
) -> None:
    """Write a run as one ONNX file with calibration and metadata, and check it against torch."""
    from train.export.run import export_run

    report = export_run(run, out, name=name, version=version, csv_dir=csv_dir)
    typer.echo(
        f"{report.path}: sha256 {report.sha256}\n"
        f"parity over {report.beats:,} training normals: at most {report.parity:.2e} nats of difference, "
        f"99.9 % of the beats at most {report.parity_usual:.2e}, none changes side\n"
        f"threshold score > {report.threshold:.4f}, calibrated on {report.patients or 'no'} patients, "
        f"alpha {report.alpha:g}"
    )


@app.command("import-published")
def import_published(
    model: Annotated[Path, typer.Option(help="best_model.pt of the published layout.")],
    config: Annotated[Path, typer.Option(help="train_config.json beside it.")],
    normals: Annotated[Path, typer.Option(help=".npz or .json with mean and std, or mitbih_train.csv.")],
    out: Annotated[Path, typer.Option(help="ONNX file to write.")],
    beat_definition: Annotated[str, typer.Option(help="What beats it was trained on.")] = "kaggle/1",
    threshold: Annotated[float | None, typer.Option(help="log p, nats; default: from the CSV's normals.")] = None,
    r_index: Annotated[int, typer.Option(min=0, help="Sample of the R-peak in a beat.")] = 0,
    name: Annotated[str, typer.Option(help="Name of the model.")] = "published",
) -> None:
    """Turn published weights into an ONNX file."""
    from train.export.onnx_file import import_published as run_import

    path = run_import(
        model, config, normals, out, beat_definition=beat_definition, threshold=threshold, r_index=r_index, name=name
    )
    typer.echo(f"wrote {path}")


def main() -> None:
    """Run the command line; errors a user can mend become one line and exit code 2."""
    try:
        app()
    except KeyboardInterrupt:
        typer.echo("stopped; a fit goes on from its last epoch when the same command is given again", err=True)
        sys.exit(130)
    except Exception as error:
        # By name: the modules that define the rest load torch, which a wrong --config need not wait for.
        if not isinstance(error, ValueError) and type(error).__name__ not in _MENDABLE:
            raise
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        sys.exit(2)


def _command() -> str:
    return shlex.join(["python", "-m", "train", *sys.argv[1:]])


if __name__ == "__main__":
    main()
