"""Rates of the monitor's decisions over several records, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from train.evaluate.bootstrap import Interval, draw_weights, interval
from train.evaluate.record_decisions import RecordDecisions, count, rates

__all__ = ["decision_rates", "gross"]

Counts = Mapping[str, int]
Rates = Callable[[dict[str, int]], dict[str, float | None]]

_MIN_NORMAL: Final = 100  # with fewer normal beats the false-positive rate of a record is too uncertain


def gross(counts: Mapping[str, Counts], seed: int, of: Rates = rates) -> dict[str, Any]:
    """Counts of all units (records, or parts of them) added up, their rates, and intervals over the units.

    Args:
        counts: by unit, all with the same keys.
        seed: of the draws.
        of: function that computes rates from counts.
    """
    units = list(counts.values())
    keys = list(units[0])
    total = {key: sum(one[key] for one in units) for key in keys}
    return {"counts": total, "rates": of(total), "intervals": _intervals(units, keys, seed, of)}


def decision_rates(records: Sequence[RecordDecisions], seed: int) -> dict[str, Any]:
    """Counts and rates by record and gross, with and without 232, and the record with the highest FPR."""
    counts = {record.name: count(record) for record in records}
    by_record = {name: {"counts": one, "rates": rates(one)} for name, one in counts.items()}
    result: dict[str, Any] = {"by_record": by_record, "gross": gross(counts, seed)}
    others = {name: one for name, one in counts.items() if name != "232"}
    if 0 < len(others) < len(counts):
        result["gross_without_232"] = gross(others, seed)
    fpr = {name: rates(one)["fpr"] for name, one in counts.items() if one["beats_N"] >= _MIN_NORMAL}
    known = {name: value for name, value in fpr.items() if value is not None}
    if known:
        worst = max(known, key=lambda name: (known[name], name))
        result["worst_fpr"] = {"record": worst, "fpr": known[worst]}
    return result


def _intervals(units: Sequence[Counts], keys: Sequence[str], seed: int, of: Rates) -> dict[str, Interval | None]:
    if len(units) < 2:  # no interval from one patient
        return {}
    table = np.array([[one[key] for key in keys] for one in units])
    rows = [of(dict(zip(keys, line, strict=True))) for line in (draw_weights(len(units), seed) @ table).tolist()]
    none = {name: [np.nan if row[name] is None else row[name] for row in rows] for name in rows[0]}
    return {name: interval(np.array(values, np.float64)) for name, values in none.items()}
