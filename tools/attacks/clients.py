"""Attacks on what clients keep and print: a full disk, names, texts that would control a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from common.programs import MONITOR, ROOT, ToolError, wait_for

from attacks.attack import Outcome
from attacks.target import Target
from monitor.bus.allow_list import CLIENTS_FILE
from monitor.bus.keys import make_server_keys
from monitor.client.client import AlarmClient
from monitor.client.positions import Position, save_position
from monitor.journal import JournalReader
from monitor.messages import AlarmMessage, Request, decode

__all__ = ["full_disk", "names", "terminal_escapes"]

DISK_KB, ROOM_KB = 32, 4096  # while it fills up, and afterwards for all that came meanwhile
FILLS = 3  # times that the disk is full; each time 8 kB become free
HOSTILE = "\x1b[2J\x1b]0;title\x07\x9b31m\u202e\u200b\r\n"
HOSTILE_NAMES = ("ward\n", "\n", "../ward", "ward\x1b[2J", 'ward"', "\u202edraw")
CONTROLS = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@contextlib.contextmanager
def _small_disk(place: Path) -> Iterator[None]:
    """A file system of DISK_KB in memory; ToolError: not permitted."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_KB}k", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        raise ToolError("full-disk mounts a small file system: run it as root, or leave it out with --only")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    # With an environment: else GNU readline's COLUMNS, which Python does not see, is inherited and narrows the tables.
    return subprocess.run(
        [*MONITOR, *words], cwd=ROOT, capture_output=True, text=True, timeout=60, env=dict(os.environ)
    )


def full_disk(folder: Path) -> Outcome:
    """`tail --resume` to a disk that is full several times, in the middle of a line."""
    journal, disk = folder / "j.sqlite", folder / "disk"
    out, filler = disk / "alarms.jsonl", disk / "filler"
    ended = 0
    with _small_disk(disk), Target(folder, "--journal", str(journal), "--speed", "20") as target:
        wait_for(lambda: _alarms(journal), "the first alarm")
        save_position(folder / "position", Position(_alarms(journal)[0][0], {}))  # from the beginning of the run
        filler.write_bytes(bytes((DISK_KB - 4 - 8) * 1024))
        command = [*MONITOR, "tail", "--connect", target.ends.alarms, "--resume", str(folder / "position")]
        for _ in range(FILLS):
            with out.open("a") as file:
                ended += subprocess.run(command, cwd=ROOT, stdout=file, stderr=subprocess.PIPE).returncode == 2
            os.truncate(filler, max(0, filler.stat().st_size - 8 * 1024))
        subprocess.run(["mount", "-o", f"remount,size={ROOM_KB}k", str(disk)], check=True)
        sent = _alarms(journal)
        with out.open("a") as file:
            tail = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=subprocess.DEVNULL)
        with contextlib.suppress(ToolError):
            wait_for(lambda: not _missing(sent, out)[0], "alarms", 30.0)
        tail.terminate()
        tail.wait()
        lost, broken = _missing(sent, out)
        what = f"`tail --resume` to a disk of {DISK_KB} kB that is full {FILLS} times"
        now = f"{len(sent)} alarm messages, {lost} lost, {broken} broken lines"
        return target.outcome(what, now, good=not lost and not broken and ended == FILLS)


def _missing(sent: list[tuple[str, int]], out: Path) -> tuple[int, int]:
    """Number of messages that are not in the file, and of lines that are no message."""
    written, broken = set(), 0
    for line in out.read_text().rpartition("\n")[0].splitlines():
        try:
            body = json.loads(line)
            written.add((body["epoch"], body["seq"]))
        except ValueError:
            broken += 1
    return len([place for place in sent if place not in written]), broken


def _alarms(journal: Path) -> list[tuple[str, int]]:
    """Run and number of each alarm message in a journal."""
    reader = JournalReader(journal)
    try:
        bodies = [decode(raw) for raw in reader.alarms("", "", "")]
    finally:
        reader.close()
    return [(body.epoch, body.seq) for body in bodies]


def names(folder: Path) -> Outcome:
    """Names of clients and beds with line breaks, escapes and paths."""
    keys = folder / "keys"
    make_server_keys(keys)
    before = (keys / CLIENTS_FILE).read_bytes()
    done = [_run("keys", "add", str(keys), name) for name in HOSTILE_NAMES]
    done += [_run("--bed", name, "--duration", "1", "--no-dashboard") for name in (*HOSTILE_NAMES, "..")]
    refused = sum(one.returncode == 2 and one.stderr.count("\n") == 1 and _visible(one.stderr) for one in done)
    visible = [path for path in keys.iterdir() if not path.name.startswith(".")]  # a hidden one is the lock
    same = (keys / CLIENTS_FILE).read_bytes() == before and len(visible) == 2
    return Outcome(
        "`keys add` and `--bed` with line breaks, escapes and paths in the name",
        f"{refused} of {len(done)} refused in one line, list of clients {'unchanged' if same else 'CHANGED'}",
        good=same and refused == len(done),
    )


def terminal_escapes(folder: Path) -> Outcome:
    """An operator whose name holds escape sequences acknowledges an alarm; what the programs print then."""
    journal = folder / "j.sqlite"
    with Target(folder, "--journal", str(journal)) as target:
        client = AlarmClient(target.ends.alarms, target.ends.control)
        with contextlib.closing(client):
            alarm_id = ""
            while not alarm_id:  # an alarm may end before the request arrives; the next one comes
                found = [body.alarm for _, body, _ in client.poll(1.0) if isinstance(body, AlarmMessage)]
                up = [alarm.alarm_id for alarm in found if alarm.state in ("onset", "latched")]
                alarm_id = next((each for each in up if client.request(_acknowledgement(each)).ok), "")
        wait_for(lambda: "anna" in _run("alarms", "--journal", str(journal)).stdout, "the acknowledgement")
        outputs = [_run("alarms", "--journal", str(journal), *words).stdout for words in _LISTS]
        outputs += [_run("alarms", "show", alarm_id, "--journal", str(journal)).stdout, target.program.output()]
        outputs.append(_run("alarms", "show", HOSTILE, "--journal", str(journal)).stderr)
        visible = sum(bool(text) and _visible(text) for text in outputs)
        now = f"{visible} of {len(outputs)} outputs without a control character"
        what = "an acknowledgement by a name with escape sequences, bidirectional and invisible characters"
        return target.outcome(what, now, good=visible == len(outputs))


def _acknowledgement(alarm_id: str) -> Request:
    return Request(op="acknowledge", alarm_id=alarm_id, who=f"anna{HOSTILE}")


_LISTS = ((), ("--format", "jsonl"), ("--format", "csv"))


def _visible(text: str) -> bool:
    return not any(unicodedata.category(char) in CONTROLS for char in text.replace("\n", ""))
