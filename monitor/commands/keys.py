"""`ecg-monitor keys`: CURVE keys of a monitor and its clients."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from monitor.commands.stdout import standard_output
from monitor.commands.table import Column, write_table
from monitor.errors import ConfigError
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
    web: Annotated[bool, typer.Option("--web", help="A person at a browser: print a link with a token.")] = False,
    page: Annotated[str, typer.Option("--page", help="Address of the page, for that link.")] = "http://127.0.0.1:8080/",
) -> None:
    """Make the key of a client: one file to move to the client's machine; with --web, the link of a person."""
    from typing import cast

    from monitor.bus.allow_list import Role
    from monitor.bus.keys import add_client, add_token

    if web:
        if file is not None:
            raise ConfigError(f"--file {file}: a token is kept in no file; omit --file, or omit --web")
        link = _page_address(page)
        token = add_token(folder, name, cast("Role", role))
        with standard_output("keys") as out:
            print_line(f"{link}#token={token}", out)
            print_line(f"link of {name} ({role}), shown only once; its holder has the rights of {name}", out)
        return
    path = add_client(folder, name, cast("Role", role), file)
    with standard_output("keys") as out:
        print_line(f"{path}: key of {name} ({role}); move it to its machine, mode 0600, and leave no copy here", out)
        print_line(f"there: ecg-monitor watch --connect tcp://ADDRESS:5556 --key {path.name}", out)


def _page_address(text: str) -> str:
    """The address of a page, with a path."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ConfigError(f"--page {text}: give the address that the monitor printed, e.g. http://127.0.0.1:8080/")
    return f"{parts.scheme}://{parts.netloc}/"


@app.command("list")
def show(folder: Folder) -> None:
    """List the clients: name, role, public key; of a person at a browser the SHA-256 of the token."""
    from monitor.bus.allow_list import load_allow_list
    from monitor.bus.keys import load_server_keys

    load_server_keys(folder)
    entries = load_allow_list(folder)
    rows = [(client.name, client.role, client.public) for client in entries.client]
    rows += [(person.name, person.role, f"web, sha256 {person.token}") for person in entries.web]
    with standard_output("keys") as out:
        write_table(_COLUMNS, rows, out, header=False)
    if not rows:
        notice(f"no clients yet; make one with: ecg-monitor keys add {folder} NAME")


@app.command()
def remove(folder: Folder, name: Name) -> None:
    """Remove a client; a running monitor disconnects it at once."""
    from monitor.bus.keys import remove_client

    client = remove_client(folder, name)
    with standard_output("keys") as out:
        print_line(f"{client.name} ({client.role}) removed; a running monitor disconnects it at once", out)
