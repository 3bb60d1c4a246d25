"""`python -m train`: fit, evaluate, export, import-published, data. Bad input: one line, exit code 2."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from train.data import LabelledBeats

app = typer.Typer(
    help="Train, judge and export the model that scores heartbeats. Needs the extra `train`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

CsvDir = Annotated[
    Path | None,
    typer.Option(
        "--csv-dir", help="Folder of the public mitbih_train.csv and mitbih_test.csv, instead of WFDB."
    ),
]


@app.command()
def data() -> None:
    """Find (or download) the MIT-BIH records, rebuild the public beats and check their counts."""
    from train.data import class_counts, data_folder
    from train.kaggle import kaggle_beats, kaggle_split

    typer.echo(f"mitdb: {data_folder('mitdb')}")
    beats = kaggle_beats()
    parts = {"all": beats} | dict(zip(("train", "test"), kaggle_split(beats), strict=True))
    for name, part in parts.items():
        counts = "  ".join(f"{label} {count}" for label, count in class_counts(part.labels).items())
        typer.echo(f"kaggle {name}: {len(part)} beats  {counts}")


@app.command()
def fit(
    out: Annotated[Path, typer.Option(help="Run folder; the same command goes on where it was killed.")],
    config: Annotated[str, typer.Option(help="Name of a configuration, or a .toml file.")] = "published",
    data: Annotated[str, typer.Option(help="kaggle, or stream (DS1, the beats of the monitor).")] = "kaggle",
    epochs_autoencoder: Annotated[int | None, typer.Option(help="At most so many.")] = None,
    epochs_flow: Annotated[int | None, typer.Option(help="At most so many.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order, dropout and split.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="key=value; any key of the file.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    limit_records: Annotated[
        int | None, typer.Option(min=2, help="Only the first N records, to try.")
    ] = None,
    csv_dir: CsvDir = None,
) -> None:
    """Fit autoencoder and flow on normal beats."""
    import torch

    from train.config import load_config
    from train.data import NormalBeats
    from train.fit import fit as run_fit

    flags = {"epochs_autoencoder": epochs_autoencoder, "epochs_flow": epochs_flow, "seed": seed}
    overrides = [*(sets or ()), *(f"{key}={value}" for key, value in flags.items() if value is not None)]
    settings = load_config(config, overrides)
    if threads:
        torch.set_num_threads(threads)
    normals = NormalBeats(_training_beats(data, csv_dir, limit_records))
    typer.echo(f"{len(normals)} normal beats of {data}; configuration {config}, seed {settings.seed}")
    result = run_fit(
        normals,
        settings,
        out,
        data=data if csv_dir is None else f"{data} csv",
        by_record=data != "kaggle",
        command=_command(),
        device=device,
    )
    typer.echo(
        f"{result.out}: held-out -log p {result.held_out_nll:.4f} nats, "
        f"threshold log p < {result.threshold:.4f} (quantile {settings.threshold_quantile:g})"
    )


def main() -> None:
    """Run the command line; errors a user can mend become one line and exit code 2."""
    from train.config import ConfigError
    from train.data import DataError

    mendable: tuple[type[Exception], ...] = (ConfigError, DataError, ValueError)
    try:
        app()
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on from the last epoch", err=True)
        sys.exit(130)
    except Exception as error:
        if not isinstance(error, mendable) and type(error).__name__ not in ("RunError", "FitError"):
            raise
        typer.echo(f"error: {' '.join(str(error).split())}", err=True)
        sys.exit(2)


def _training_beats(data: str, csv_dir: Path | None, limit_records: int | None) -> LabelledBeats:
    from train.data import DataError, record_names
    from train.kaggle import kaggle_beats, kaggle_split, read_kaggle_csv

    if data == "kaggle":
        if csv_dir is not None:
            return read_kaggle_csv(csv_dir)[0]
        if limit_records is not None:
            return kaggle_beats(record_names()[:limit_records])
        return kaggle_split(kaggle_beats())[0]
    raise DataError(f"--data {data}: unknown; give kaggle or stream")


def _command() -> str:
    return shlex.join(["python", "-m", "train", *sys.argv[1:]])


if __name__ == "__main__":
    main()
