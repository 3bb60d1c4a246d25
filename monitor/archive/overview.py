"""All records of a folder of results, one row each: as CSV, as Parquet and as a printed table."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from monitor.archive.beat_table import arrow_schema, pyarrow_or_error
from monitor.archive.results import Results
from monitor.archive.summary import Summary
from monitor.atomic_file import replace_file

__all__ = ["OVERVIEW_COLUMNS", "ROW_COLUMNS", "overview_rows", "row_of", "write_overview"]

CSV_NAME: Final = "summary.csv"
PARQUET_NAME: Final = "summary.parquet"
_SHOWN: Final = 60  # rows of the printed table

# Name, type and meaning; docs/many-beds.md has the same table (tested).
ROW_COLUMNS: Final[tuple[tuple[str, str, str], ...]] = (
    ("name", "string", "of its folder"),
    ("source", "string", "what was scored, e.g. mitdb:208"),
    ("lead", "string", "name of the lead"),
    ("duration_s", "double", "what was scored, s"),
    ("beats", "int64", "beats found"),
    ("unscored", "int64", "of these, not scored for their signal quality"),
    ("abnormal", "int64", "scored and anomalous"),
    ("abnormal_share", "double", "abnormal / scored, 0 to 1"),
    ("busiest_hour", "int64", "the hour with the most abnormal beats, 0 = the first; null without any"),
    ("busiest_hour_abnormal", "int64", "abnormal beats in it"),
    ("mean_bpm", "double", "heart rate over all RR intervals between scored beats, beats a minute"),
    ("min_bpm", "double", "lowest mean of 4 to 8 RR intervals, beats a minute"),
    ("max_bpm", "double", "highest mean of 4 to 8 RR intervals, beats a minute"),
    ("runs", "int64", "runs of abnormal beats"),
    ("longest_run_beats", "int64", "beats of the longest run; null without any"),
    ("longest_run_time_s", "double", "where it begins, s from sample 0"),
    ("longest_run_bpm", "double", "its rate, beats a minute"),
    ("pauses", "int64", "RR intervals that reach the limit of the alarm pause"),
    ("longest_pause_s", "double", "the longest of them, s; null without any"),
    ("longest_pause_time_s", "double", "the R-peak after which it came, s from sample 0"),
    ("alarms_high", "int64", "alarms of high priority that began"),
    ("alarms_medium", "int64", "of medium priority"),
    ("alarms_low", "int64", "of low priority"),
    ("samples_lost", "int64", "missing in gaps"),
    ("worst_score", "double", "the highest score of a beat; null where no strip was asked for"),
    ("model_sha256", "string", "of the model that scored, hex"),
)

# Headings of the printed table with their importance, 0 = the most.
OVERVIEW_COLUMNS: Final = (
    ("record", 0), ("time", 5), ("beats", 2), ("not scored", 6), ("abnormal", 1), ("bpm (min-max)", 4),
    ("longest run", 7), ("pauses", 8), ("alarms h/m/l", 3),
)  # fmt: skip


def row_of(summary: Summary) -> dict[str, Any]:
    """The row of one record; keys as ROW_COLUMNS."""
    run, pauses, rates = summary.longest_run, summary.pauses, summary.rates
    busiest = max((hour for hour in summary.hours if hour.abnormal), key=lambda hour: hour.abnormal, default=None)
    of_priority: Counter[str] = Counter()
    for kind, n in summary.alarms.items():
        of_priority[summary.settings["alarms"][kind]["priority"]] += n
    row = {name: getattr(summary, name, None) for name, _, _ in ROW_COLUMNS}
    return row | {
        "busiest_hour": busiest.hour if busiest else None,
        "busiest_hour_abnormal": busiest.abnormal if busiest else None,
        "mean_bpm": rates.mean_bpm,
        "min_bpm": rates.min_bpm,
        "max_bpm": rates.max_bpm,
        "longest_run_beats": run.beats if run else None,
        "longest_run_time_s": run.time_s if run else None,
        "longest_run_bpm": run.rate_bpm if run else None,
        "pauses": pauses.count,
        "longest_pause_s": pauses.longest_s,
        "longest_pause_time_s": pauses.longest_time_s,
        "alarms_high": of_priority["high"],
        "alarms_medium": of_priority["medium"],
        "alarms_low": of_priority["low"],
        "worst_score": summary.strips[0].score if summary.strips else None,
        "model_sha256": summary.model.sha256,
    }


def write_overview(results: Results, summaries: Sequence[Summary]) -> None:
    """Write `summary.csv` and `summary.parquet`, or raise OSError."""
    rows = [row_of(summary) for summary in summaries]
    names = [name for name, _, _ in ROW_COLUMNS]
    text = io.StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(rows)
    replace_file(results.out / CSV_NAME, text.getvalue(), durable=True)

    arrow = pyarrow_or_error()
    import pyarrow.parquet as parquet

    sink = io.BytesIO()
    parquet.write_table(arrow.Table.from_pylist(rows, schema=arrow_schema(ROW_COLUMNS)), sink, compression="zstd")
    replace_file(results.out / PARQUET_NAME, sink.getvalue(), durable=True)


def overview_rows(summaries: Sequence[Summary]) -> tuple[str, list[tuple[str, ...]]]:
    """The printed table: its title, and one row per record, as OVERVIEW_COLUMNS.

    Of more than 60 records it has those with the most abnormal beats.
    """
    shown = list(summaries)
    if len(shown) > _SHOWN:
        most = sorted(shown, key=lambda summary: -summary.abnormal)[:_SHOWN]
        shown = [summary for summary in shown if summary in most]
    beats = sum(summary.beats for summary in summaries)
    hours = sum(summary.duration_s for summary in summaries) / 3600
    title = f"{len(summaries)} records, {hours:.1f} h, {beats} beats"
    if len(shown) < len(summaries):
        title += f"; shown: the {_SHOWN} with the most abnormal beats"
    return title, [_shown_row(summary) for summary in shown]


def _shown_row(summary: Summary) -> tuple[str, ...]:
    row = row_of(summary)
    return (
        summary.name,
        _span(summary.duration_s),
        str(summary.beats),
        str(summary.unscored),
        f"{summary.abnormal} ({100 * (summary.abnormal_share or 0.0):.1f} %)",
        f"{_whole(row['mean_bpm'])} ({_whole(row['min_bpm'])}-{_whole(row['max_bpm'])})",
        f"{row['longest_run_beats']} at {_span(row['longest_run_time_s'])}" if summary.longest_run else "-",
        f"{summary.pauses.count} (to {summary.pauses.longest_s:.1f} s)" if summary.pauses.longest_s else "-",
        f"{row['alarms_high']}/{row['alarms_medium']}/{row['alarms_low']}",
    )


def _span(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def _whole(bpm: float | None) -> str:
    return "-" if bpm is None else f"{bpm:.0f}"
