"""`ecg-monitor rr`: RR intervals as text, for programs that analyse heart rate variability."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from monitor.commands.options import RECORD_FLAGS, RECORD_TEXTS, Given, Record, Reviewed, settings_of, takes
from monitor.commands.stdout import standard_output
from monitor.errors import ConfigError
from monitor.terminal import notice

__all__ = ["rr"]

_FORMATS: Final = ("text", "csv")


@takes(*RECORD_FLAGS, texts=RECORD_TEXTS)
def rr(
    record: Record,
    given: Given,
    form: Annotated[
        str, typer.Option("--format", help="text: ms, one a line; csv: also time, kind and quality.")
    ] = "text",
    nn: Annotated[bool, typer.Option("--nn", help="Only intervals between two usual beats.")] = False,
    review: Reviewed = True,
) -> None:
    """Print the RR intervals of a recording, a scored record, or a record that is scored now."""
    import numpy as np

    from monitor.archive.stored import as_reviewed, stored_or_scored
    from monitor.reports.holter.beats import write_rr_csv, write_rr_text

    if form not in _FORMATS:
        raise ConfigError(f"--format {form}: give {' or '.join(_FORMATS)}")
    with stored_or_scored(record, settings_of(given)) as stored, standard_output("rr") as out:
        write = write_rr_text if form == "text" else write_rr_csv
        counted, summary = as_reviewed(stored) if review else (stored, None)
        n = write(counted.beats, out, only_nn=nn)
        unknown = int(np.isnan(counted.beats.rr_s).sum())
        if summary:
            notice(f"reviewed: {summary.text}")
        notice(f"{n} RR intervals of {counted.beats.r_sample.size} beats; {unknown} beats have none (start, gaps)")
