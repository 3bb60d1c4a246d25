"""`ecg-monitor fetch`: download records of PhysioNet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monitor.terminal import notice, printable

__all__ = ["fetch"]


def fetch(
    what: Annotated[str, typer.Argument(help="Database as physionet.org names it, or one record: mitdb, mitdb:208.")],
    to: Annotated[
        Path | None, typer.Option(help="Folder; the database becomes a folder in it. Default: the cache of this user.")
    ] = None,
    version: Annotated[str, typer.Option(help="Version of the database; default: the newest.")] = "",
    mirror: Annotated[
        str, typer.Option(help="URL of a folder of databases.", show_default="https://physionet.org/files/")
    ] = "",
) -> None:
    """Download a PhysioNet database, or one record of it, and check it. Repeated, it continues."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from monitor.sources.files import physionet
    from monitor.sources.files.record_files import DATABASES, PHYSIONET_URL, data_folders

    name, _, record = what.partition(":")
    database = physionet.find_database(name, "" if record == "*" else record, version, mirror or PHYSIONET_URL)
    folder = data_folders(name)[1] if to is None else to / name
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} files, {task.fields[megabytes]:.1f} MB"),
    )
    console = Console(stderr=True)
    shown = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with shown:
        task = shown.add_task(name, total=len(database.files), megabytes=0.0)
        total = 0

        def progress(path: str, count: int) -> None:
            nonlocal total
            total += count
            shown.update(task, description=printable(path), advance=0 if count else 1, megabytes=total / 1e6)

        found = physionet.fetch(database, folder, progress)
    there = f", {found.kept} of them were there" if found.kept else ""
    notice(f"{name} {database.version}: {found.files} files{there}, {found.bytes_read / 1e6:.1f} MB read, in {folder}")
    if name not in DATABASES:
        notice(f"open a record with --source wfdb:{folder}/RECORD")
    elif to is not None:
        notice(f"set ECG_MONITOR_DATA={to.absolute()} to use it")
