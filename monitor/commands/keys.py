"""`ecg-monitor keys`: CURVE keys of a monitor and its clients."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monitor.commands.stdout import standard_output
from monitor.commands.table import Column, write_table
from monitor.terminal import notice, print_line

__all__ = ["app"]

_COLUMNS = (Column("name", 0), Column("role", 1), Column("public", 2))

app = typer.Typer(help="Make and manage CURVE keys; without them the bus is loopback only.")

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the monitor's keys.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the client: letters, digits, _ . -")]


@app.command()
def new(folder: Folder) -> None:
    """Make the keys of a monitor and an empty list of clients; use them with --keys DIR."""
    from monitor.bus.keys import make_server_keys

    keys = make_server_keys(folder)
    with standard_output("keys") as out:
        print_line(f"{folder}: keys made, public key {keys.public}", out)
        print_line(
            f"next: ecg-monitor keys add {folder} NAME, then: ecg-monitor --keys {folder} --bus tcp://ADDRESS:5556", out
        )


@app.command()
def add(
    folder: Folder,
    name: Name,
    role: Annotated[
        str, typer.Option(help="viewer: reads everything; operator: also acknowledges alarms and pauses audio.")
    ] = "viewer",
    file: Annotated[Path | None, typer.Option("--file", help="Client key file; default: DIR/NAME.key.")] = None,
) -> None:
    """Make the key of a client: one file to move to the client's machine."""
    from typing import cast

    from monitor.bus.allow_list import Role
    from monitor.bus.keys import add_client

    path = add_client(folder, name, cast("Role", role), file)
    with standard_output("keys") as out:
        print_line(f"{path}: key of {name} ({role}); move it to its machine, mode 0600, and leave no copy here", out)
        print_line(f"there: ecg-monitor watch --connect tcp://ADDRESS:5556 --key {path.name}", out)


@app.command("list")
def show(folder: Folder) -> None:
    """List the clients: name, role, public key."""
    from monitor.bus.allow_list import load_clients
    from monitor.bus.keys import load_server_keys

    load_server_keys(folder)
    clients = load_clients(folder)
    with standard_output("keys") as out:
        write_table(_COLUMNS, [(client.name, client.role, client.public) for client in clients], out, header=False)
    if not clients:
        notice(f"no clients yet; make one with: ecg-monitor keys add {folder} NAME")


@app.command()
def remove(folder: Folder, name: Name) -> None:
    """Remove a client; a running monitor disconnects it at once."""
    from monitor.bus.keys import remove_client

    client = remove_client(folder, name)
    with standard_output("keys") as out:
        print_line(f"{client.name} ({client.role}) removed; a running monitor disconnects it at once", out)
