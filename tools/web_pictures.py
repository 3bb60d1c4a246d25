"""Pictures of the page for the docs: python tools/web_pictures.py --out docs/web [--only ward-12,phone]

Starts monitors with simulated patients in every state, and a review, and takes PNG pictures in Chromium.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # show this working tree

from common.browser import started_browser  # noqa: E402
from common.programs import MONITOR, Program, ToolError, run_command, wait_for  # noqa: E402
from stress.subjects import free_port  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RUN_IN_S = 32.0  # until each state has been reached and its alarm raised
UNPLUGGED = "unplug@20s for 3600s"
SOURCES = {
    "icu-1": "sim:sinus=3600;seed=1",
    "icu-2": "sim:sinus=16,vt=3600;seed=2",
    "icu-3": "sim:sinus=16,vf=3600;seed=3",
    "icu-4": "sim:sinus=18,asystole=3600;seed=4",
    "icu-5": "sim:sinus=14,leadsoff=3600;seed=5",
    "icu-6": "zmq:{silent}",
    "icu-7": "serial",
    "icu-8": "sim:paced=3600;seed=8",
    "icu-9": "sim:af=3600;seed=9",
    "icu-10": "sim:sinus=14,motion=3600;motion=6;seed=10",
    "icu-11": "sim:bigeminy=3600;seed=11",
    "icu-12": "sim:brady=3600;seed=12",
}
REVIEWED = "sim:sinus=240,bigeminy=60,sinus=300,vt=8,sinus=240,af=180,sinus=120;seed=4"
STATES = {"sinus": 1, "vt": 2, "vf": 3, "asystole": 4, "leads-off": 5, "no-data": 6, "source-lost": 7, "paced": 8,
          "not-watched": 10}  # fmt: skip


@dataclass(frozen=True)
class Shot:
    """One picture: which ward, or the review, the view, the size, the theme, and keys to press."""

    ward: str
    view: str
    width: int = 1280
    height: int = 800
    theme: str = "dark"
    keys: tuple[str, ...] = ()


SHOTS = {
    "ward-1": Shot("one", "ward", 900, 420),
    "ward-12": Shot("twelve", "ward"),
    "ward-12-light": Shot("twelve", "ward", theme="light"),
    "ward-100": Shot("hundred", "ward", 1920, 1080),
    **{f"bed-{name}": Shot("twelve", f"bed/0%2Ficu-{number}") for name, number in STATES.items()},
    "bed-light": Shot("twelve", "bed/0%2Ficu-2", theme="light"),
    "inspector": Shot("twelve", "bed/0%2Ficu-11", keys=("i",)),
    "alarms": Shot("twelve", "alarms"),
    "history": Shot("twelve", "history"),
    "help": Shot("twelve", "ward", keys=("?",)),
    "phone-ward": Shot("twelve", "ward", 360, 720),
    "phone-bed": Shot("twelve", "bed/0%2Ficu-4", 360, 720),
    "review": Shot("review", "", 1180, 720, "light", keys=("v", "ArrowRight", "ArrowRight", "f", "x")),
    "phone-alarms": Shot("twelve", "alarms", 360, 720, "light"),
}


def _serve(stack: ExitStack, *command: str) -> str:
    """Start a monitor with its page; returns the address of the page."""
    bus = f"tcp://127.0.0.1:{free_port()}"
    words = (*command, "--speed", "1", "--no-dashboard", "--bus", bus, "--web", "127.0.0.1:0")
    address = _address_of(stack, *words)
    time.sleep(RUN_IN_S)
    return address


def _address_of(stack: ExitStack, *command: str) -> str:
    """Start a program that prints `on ADDRESS`; returns the address."""
    program = stack.enter_context(Program((*MONITOR, *command)))
    wait_for(lambda: " on http" in program.output() or not program.alive, "page")
    if not program.alive:
        raise ToolError(program.output().strip().splitlines()[-1])
    return "http" + program.output().partition(" on http")[2].split()[0]


def _one(stack: ExitStack, _folder: Path) -> str:
    return _serve(stack, "--source", "sim:sinus=3600;seed=1")


def _hundred(stack: ExitStack, _folder: Path) -> str:
    return _serve(stack, "--source", "sim", "--beds-count", "100")


def _twelve(stack: ExitStack, folder: Path) -> str:
    """Beds in every state; the device of one is unplugged."""
    port, config = folder / "tty", folder / "config.toml"
    device = (*MONITOR, "emulate", "--source", "sim", "--fs", "250", "--link", str(port), "--faults", UNPLUGGED)
    stack.enter_context(Program(device))
    wait_for(port.exists, "device")
    lines = []
    for name, source in SOURCES.items():
        lines += [f"[beds.{name}]", f'source = "{source.format(silent=f"tcp://127.0.0.1:{free_port()}")}"']
        if source == "serial":
            lines += [f'port = "{port}"', 'format = "lines"']
        if not source.startswith("sim"):
            lines.append("fs_hz = 250.0")
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return _serve(stack, "--config", str(config), "--journal", str(folder / "journal.sqlite"))


def _review(stack: ExitStack, folder: Path) -> str:
    """A record under review."""
    words = ("review", REVIEWED, "--out", str(folder), "--listen", "127.0.0.1:0", "--reviewer", "anna")
    return _address_of(stack, *words)


WARDS: dict[str, Callable[[ExitStack, Path], str]] = {
    "one": _one, "twelve": _twelve, "hundred": _hundred, "review": _review
}  # fmt: skip


def _take(browser: Browser, address: str, shot: Shot, out: Path) -> None:
    context = browser.new_context(viewport={"width": shot.width, "height": shot.height}, color_scheme=shot.theme)  # type: ignore[arg-type]
    page: Page = context.new_page()
    page.goto(f"{address}#/{shot.view}")
    wait_for(lambda: page.locator("#link, #saved").inner_text().startswith("●"), "connection")
    page.wait_for_timeout(12_000)  # a whole sweep of the trace
    for key in shot.keys:
        page.keyboard.press(key)
        page.wait_for_timeout(500)
    page.screenshot(path=out)
    context.close()


app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)


@app.command(help=__doc__)
def main(
    out: Annotated[Path, typer.Option(help="Folder of the pictures.")],
    only: Annotated[str, typer.Option(help=f"Of {', '.join(SHOTS)}, with commas.")] = ",".join(SHOTS),
) -> None:
    """Take the pictures, one ward after the other."""
    names = only.split(",")
    if unknown := [name for name in names if name not in SHOTS]:
        raise ToolError(f"--only {unknown[0]}: there are {', '.join(SHOTS)}")
    out.mkdir(parents=True, exist_ok=True)
    with started_browser() as browser:
        for ward in dict.fromkeys(SHOTS[name].ward for name in names):
            with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
                address = WARDS[ward](stack, Path(folder))
                for name in names:
                    if SHOTS[name].ward == ward:
                        _take(browser, address, SHOTS[name], out / f"{name}.png")
                        print(out / f"{name}.png", flush=True)


if __name__ == "__main__":
    run_command("web_pictures", app)
