"""Read tables of random layout and known content: python tools/fuzz_tables.py [--rows 1000000] [--seed 1] [--show 10]

Each table has a random delimiter, encoding, line end, quoting, preamble, time format, unit, rate, order of columns, and
unreadable rows; every way of stating the rate or none. It is read as a file and, cut at random, as a stream. Samples,
rate, lead, unit and gaps must be those it was made from; a table that states no rate must be refused, and be read with
--fs. Prints counts by layout, the first failures, and the speed; ends with 1 if a table was read wrongly.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from monitor.errors import SourceError
from monitor.sources.options import SourceOptions
from monitor.sources.tables.reader import TableReader

RATES = (100, 125, 128, 130, 200, 250, 256, 300, 360, 500, 512, 1000)
ENCODINGS = ("utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252")
ENDS = ("\n", "\n", "\r\n", "\r")
DELIMITERS = (",", ",", ";", "\t", "|", " ")
UNITS = {"mV": (1.0, 4), "uV": (1e-3, 1), "µV": (1e-3, 1), "V": (1e3, 7)}  # mV in one, decimals
LEADS = ("ECG", "EKG", "MLII", "V5", "Lead II", "ecg", "Channel 1", "ECG_Raw")
TIMES = ("none", "s", "ms", "us", "ns", "epoch s", "epoch ms", "clock", "short clock", "iso", "iso Z", "date and clock")
OTHERS = ("index", "RESP", "text", "accX", "HR")
PREAMBLES = ("none", "key: value", "key,value", "# key = value", "% sentence", "long")


@dataclass
class Table:
    """A table and what it must be read as."""

    fs_hz: int
    mv: list[float]
    lead: str
    unit: str
    states_rate: bool
    lost: int
    kinds: dict[str, str] = field(default_factory=dict)
    data: bytes = b""


def make(dice: random.Random) -> Table:
    """Make a table."""
    fs_hz = dice.choice(RATES)
    n = dice.randint(1200, 2400)
    phase = dice.uniform(0, 6)
    wave = [0.9 * math.sin(i * 9 / fs_hz + phase) + 0.3 * math.sin(i * 91 / fs_hz) for i in range(n)]
    unit = dice.choice(list(UNITS))
    scale, digits = UNITS[unit]
    numbers = [f"{v / scale:.{digits}f}" for v in wave]
    encoding, delimiter = dice.choice(ENCODINGS), dice.choice(DELIMITERS)
    kind, preamble = dice.choice(TIMES), dice.choice(PREAMBLES)
    if delimiter == " " and kind in ("date and clock",):
        kind = "s"
    decimal_comma = delimiter in ";\t|" and dice.random() < 0.4
    header = dice.random() < 0.85
    quoted = dice.random() < 0.2
    lead = dice.choice(LEADS)
    if delimiter == " ":
        lead = lead.replace(" ", "")
        kind = "clock" if kind == "short clock" else kind
    unit_at = dice.choice(("header", "unit row", "preamble")) if header else "preamble"
    if preamble in ("none", "% sentence") and unit_at == "preamble":
        unit_at = "header" if header else "none"
    if unit_at == "none":
        unit = "mV"
        numbers = [f"{v:.4f}" for v in wave]
        scale = 1.0
    others = dice.sample(OTHERS, dice.randint(0, 2)) if header else []
    mv = [float(number) * scale for number in numbers]
    bad = {dice.randrange(300, n - 5) for _ in range(dice.choice((0, 0, 3)))}
    losses = {dice.randrange(400, n - 300) for _ in range(dice.choice((0, 0, 1)))} if kind != "none" else set()
    columns: list[tuple[str, str, list[str]]] = [(lead, unit, numbers)]
    times: list[tuple[str, str, list[str]]] = []
    if kind != "none":
        times = [_times(kind, fs_hz, n, losses, dice)]
        if kind == "date and clock":
            times = [("Date", "", ["2024-02-29"] * n), ("Time", "", _times("clock", fs_hz, n, losses, dice)[2])]
    columns = [*times, *[_other(name, n, dice) for name in others], *columns]
    if dice.random() < 0.3 and kind != "date and clock":
        dice.shuffle(columns)
    lines = []
    between = delimiter if delimiter != " " else dice.choice((" ", "  "))
    space = " " if delimiter in ",;" and dice.random() < 0.2 else ""
    for i in range(n):
        cells = [column[2][i] for column in columns]
        if decimal_comma:
            cells = [cell if ":" in cell else cell.replace(".", ",") for cell in cells]
        if i in bad:
            cells = ["?" if column[2] is numbers else cell for column, cell in zip(columns, cells, strict=True)]
        if quoted:
            cells = [f'"{cell}"' for cell in cells]
        lines.append((between + space).join(cells))
    trailing = dice.random() < 0.1 and delimiter in ",;\t" and len(columns) > 1
    if trailing:
        lines = [line + delimiter for line in lines]
    head = _preamble(preamble, fs_hz, unit if unit_at == "preamble" else None, lead if not header else None, dice)
    if header:
        names = [f"{name} [{u}]" if u and unit_at == "header" and delimiter != " " else name for name, u, _ in columns]
        if delimiter == " " and unit_at == "header":
            names = [f"{name}[{u}]" if u else name for name, u, _ in columns]
        names = [f'"{name}"' if quoted else name for name in names]
        head.append((between + space).join(names))
        if unit_at == "unit row":
            head.append(between.join(f'"{u}"' if quoted else u or "-" for _, u, _ in columns))
    text = "\n".join([*head, *lines]) + ("\n" if dice.random() < 0.9 else "")
    end = dice.choice(ENDS)
    data = text.replace("\n", end).encode(encoding, "replace")
    for i in bad:
        mv[i] = math.nan
    steps_by_1 = kind == "ms" and fs_hz == 1000 and not header  # a time in ms, or the numbers of the samples
    states = preamble != "none" or (kind != "none" and not steps_by_1)
    stated_lead = lead if header or preamble not in ("none", "% sentence") else "ECG"
    canonical = "uV" if unit == "µV" else unit
    lost = 0 if not losses or steps_by_1 else _LOST  # a column of steps of 1 without a name is an index
    kinds = {
        "delimiter": {"\t": "tab", " ": "blanks"}.get(delimiter, delimiter) if len(columns) > 1 else "one column",
        "encoding": encoding,
        "line end": repr(end),
        "quotes": str(quoted),
        "decimal comma": str(decimal_comma),
        "preamble": preamble,
        "time": kind,
        "unit": f"{unit} ({unit_at})",
        "header": str(header),
        "columns": str(len(columns)),
        "losses": str(bool(losses)),
        "bad rows": str(bool(bad)),
    }
    return Table(fs_hz, mv, stated_lead, canonical, states, lost, kinds, data)


_LOST = 60  # samples of a loss


def _times(kind: str, fs_hz: int, n: int, losses: set[int], dice: random.Random) -> tuple[str, str, list[str]]:
    """Name, unit and cells of a time column."""
    at, ticks = 0, []
    for i in range(n):
        at += _LOST if i in losses else 0
        ticks.append(at)
        at += 1
    seconds = [tick / fs_hz for tick in ticks]
    start_s = dice.choice((0.0, 12.5, 3599.5))
    if kind in ("s", "ms", "us", "ns"):
        scale = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}[kind]
        digits = {"s": 4, "ms": dice.choice((0, 2)), "us": 0, "ns": 0}[kind]
        name = dice.choice(("time", "timestamp", "t", "Zeit", "elapsed"))
        return name, kind, [f"{(start_s + s) * scale:.{digits}f}" for s in seconds]
    if kind == "epoch s":
        return "timestamp", "", [f"{1_700_000_000 + s:.4f}" for s in seconds]
    if kind == "epoch ms":
        return "timestamp", "", [f"{1_700_000_000_000 + s * 1000:.0f}" for s in seconds]
    if kind == "short clock":
        return "Elapsed time", "", [f"{int(s // 60):d}:{s % 60:06.3f}" for s in seconds]
    whole_ms = [math.floor(s * 1000 + 1e-6) for s in seconds]
    clocks = [f"13:{ms // 60_000:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}" for ms in whole_ms]
    if kind == "clock":
        return "time", "", clocks
    zone = "Z" if kind == "iso Z" else ""
    return "datetime", "", [f"2024-02-29T{clock}{zone}" for clock in clocks]


def _other(name: str, n: int, dice: random.Random) -> tuple[str, str, list[str]]:
    if name == "index":
        return name, "", [str(i) for i in range(n)]
    if name == "text":
        return "comment", "", [dice.choice(("ok", "artefact")) for _ in range(n)]
    if name == "HR":
        return name, "", [str(70 + i // 200) for i in range(n)]
    return name, "", [f"{math.sin(i / 97):.4f}" for i in range(n)]


def _preamble(kind: str, fs_hz: int, unit: str | None, lead: str | None, dice: random.Random) -> list[str]:
    keys = [(dice.choice(("Sample Rate", "sampling_rate", "fs", "Sampling frequency")), f"{fs_hz} Hz")]
    keys += [("Unit", unit)] if unit else []
    keys += [("Lead", lead)] if lead else []
    if kind == "key: value":
        return [f"{key}: {value}" for key, value in keys]
    if kind == "key,value":
        return [f"{key},{value}" for key, value in keys]
    if kind == "# key = value":
        return [f"# {key} = {value}" for key, value in keys]
    if kind == "% sentence":
        return [f"% ECG recorded at {fs_hz} Hz, notch filter 50 Hz"]
    if kind == "long":
        noise = [f"Field {i},value {i}" for i in range(dice.randint(5, 60))]
        return [*noise, *[f"{key},{value}" for key, value in keys], ""]
    return []


def read(table: Table, dice: random.Random, live: bool, **options: object) -> tuple[TableReader, list[float], int]:
    """Read a table; reader, samples, lost samples."""
    reader = TableReader(SourceOptions(**options), "table", live)  # type: ignore[arg-type]
    runs, left = [], table.data
    while left:
        size = dice.choice((1, 7, 100, 5000, len(left))) if live else len(left)
        runs += reader.push(left[:size])
        left = left[size:]
    runs += reader.finish()
    end = lost = 0
    samples: list[float] = []
    for first, mv in runs:
        lost += first - end
        end = first + mv.size
        samples += mv.tolist()
    return reader, samples, lost


def failure(table: Table, dice: random.Random) -> str:
    """What was read wrongly; empty = nothing."""
    options: dict[str, object] = {}
    for live in (False, True):
        try:
            reader, samples, lost = read(table, dice, live, **options)
        except SourceError as error:
            if table.states_rate:
                return f"refused: {error}"
            options = {"fs_hz": float(table.fs_hz)}
            try:
                reader, samples, lost = read(table, dice, live, **options)
            except SourceError as again:
                return f"refused with --fs: {again}"
        layout = reader.layout
        if layout is None:
            return "read to the end, but its layout is not known"
        if abs(layout.fs_hz / table.fs_hz - 1) > 2e-3:
            return f"rate {layout.fs_hz:g}, not {table.fs_hz}"
        if layout.unit != table.unit:
            return f"unit {layout.unit}, not {table.unit}"
        if layout.leads[0].lead != table.lead:
            return f"lead {layout.leads[0].lead!r}, not {table.lead!r}"
        if len(samples) != len(table.mv) or not np.allclose(samples, table.mv, atol=1e-6, equal_nan=True):
            return f"{len(samples)} samples, not {len(table.mv)}, or other ones"
        if abs(lost - table.lost) > 1:
            return f"{lost} samples lost, not {table.lost}"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=10, help="failures to print")
    arguments = parser.parse_args()
    rows = tables = 0
    made: Counter[tuple[str, str]] = Counter()
    wrong: Counter[tuple[str, str]] = Counter()
    failed: list[str] = []
    began_s = time.perf_counter()
    while rows < arguments.rows:
        seed = f"{arguments.seed}:{tables}"
        table = make(random.Random(seed))
        why = failure(table, random.Random(seed))
        rows += len(table.mv)
        tables += 1
        made.update(table.kinds.items())
        if why:
            wrong.update(table.kinds.items())
            failed.append(f"{seed} {why} {table.kinds}")
    print(f"{'layout':<16}{'kind':<22}{'tables':>8}{'wrong':>8}")
    for (name, kind), count in sorted(made.items()):
        print(f"{name:<16}{kind:<22}{count:>8}{wrong[name, kind]:>8}")
    for line in failed[: arguments.show]:
        print(line)
    seconds = time.perf_counter() - began_s
    print(f"{rows} rows, {tables} tables, {len(failed)} read wrongly, {2 * rows / seconds:.0f} rows/s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
