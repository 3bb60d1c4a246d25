"""Tables of one protocol for the console."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from train.data.records import CLASSES
from train.evaluate.protocols import Outcome, Row

__all__ = ["print_tables"]


def print_tables(outcome: Outcome, console: Console) -> None:
    """Print the tables of one protocol."""

    def show(title: str, table: Table) -> None:
        console.print(title, highlight=False, markup=False, soft_wrap=True)
        console.print(table)

    if outcome.rows:
        scored = f"{outcome.rows[0].figures['beats']:,} scored beats"
        show(f"Protocol {outcome.protocol}: {scored}; AUROC pooled and of each class against N", _score_table(outcome))
        resampled = outcome.rows[0].figures["resampled"]
        show(f"95 % intervals, bootstrap over {resampled}", _interval_table(outcome))
    if any("record_mean_auroc" in row.figures for row in outcome.rows):
        show("AUROC by record (interval: 95 %, bootstrap over records)", _record_table(outcome))
    if any("fixed" in row.figures for row in outcome.rows):
        title = "At a threshold: fixed on training normals, and (for comparison only) best on the test labels"
        show(title, _threshold_table(outcome))
    for row in outcome.rows:
        if "confusion" in row.figures:
            threshold = row.figures["fixed"]["threshold"]
            title = f"{row.name}: called at the fixed threshold (score > {threshold:.4g})"
            show(title, _confusion_table(row))
    if decided := outcome.extra.get("decisions"):
        first = next(iter(decided))
        title = f"Decisions of {first}: R-peaks, and beats called anomalous (a missed beat is not called)"
        show(title, _decision_table(decided[first]))
        if len(decided) > 1:
            show("Decisions of all models, gross (interval: 95 %, bootstrap over records)", _gross_table(decided))
    if quality := outcome.extra.get("r_peaks"):
        shares, worst = quality["gross"]["rates"], quality["worst_record_outside_flutter"]
        text = (
            f"R-peaks of {quality['records']} records, first {quality['learning_s']:g} s left out: "
            f"Se {_percent(shares['r_se'])} %, +P {_percent(shares['r_ppv'])} % "
            f"(outside flutter {_percent(shares['r_ppv_outside_flutter'])} %), worst record outside flutter "
            f"{worst['record']} with {_percent(worst['lower_of_se_and_ppv'])} %"
        )
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    for name, by_snr in outcome.extra.get("noise", {}).items():
        title = f"Protocol nstdb, {name}, noisy / clean minutes, %. {outcome.extra['note']}"
        show(title, _noise_table(by_snr))


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column(columns[0])
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table


def _score_table(outcome: Outcome) -> Table:
    classes = CLASSES[1:]
    table = _table("score", "AUROC", "AP", *classes, "VEB Se\n1 % FPR", "SVEB Se\n5 % FPR")
    for row in outcome.rows:
        values = row.figures
        table.add_row(
            row.name,
            *(_three(values[key]) for key in ("auroc", "average_precision")),
            *(_three(values["auroc_by_class"][name]) for name in classes),
            *(_three(values[key]) for key in ("veb_se_at_1pct_fpr", "sveb_se_at_5pct_fpr")),
        )
    return table


def _interval_table(outcome: Outcome) -> Table:
    keys = {
        "auroc": "AUROC",
        "record_mean_auroc": "record mean",
        "veb_se_at_1pct_fpr": "VEB Se\n1 % FPR",
        "sveb_se_at_5pct_fpr": "SVEB Se\n5 % FPR",
        "best_f1": "best F1",
        "fixed_f1": "F1, fixed",
    }
    table = _table("score", *keys.values())
    for row in outcome.rows:
        table.add_row(row.name, *(_interval(row.figures["intervals"].get(key)) for key in keys))
    return table


def _record_table(outcome: Outcome) -> Table:
    table = _table(
        "score", "pooled", "interval", "record mean", "pooled\nwithout 232", "interval", "record mean", "V", "S"
    )
    for row in outcome.rows:
        values, without = row.figures, row.figures.get("without_232", {})
        by_class = without.get("auroc_by_class", {})
        table.add_row(
            row.name,
            _three(values["auroc"]),
            _interval(values["intervals"].get("auroc")),
            _three(values.get("record_mean_auroc")),
            _three(without.get("auroc")),
            _interval(without.get("intervals", {}).get("auroc")),
            _three(without.get("record_mean_auroc")),
            *(_three(by_class.get(name)) for name in ("V", "S")),
        )
    return table


def _threshold_table(outcome: Outcome) -> Table:
    table = _table("score", "F1", "P", "R", "FPR", "best F1", "P", "R", "FPR", "fixed at")
    for row in outcome.rows:
        fixed, best = row.figures.get("fixed", {}), row.figures["best"] or {}
        keys = ("f1", "precision", "recall", "fpr")
        table.add_row(
            row.name, *(_three(fixed.get(k)) for k in keys), *(_three(best.get(k)) for k in keys), row.threshold_note
        )
    return table


def _confusion_table(row: Row) -> Table:
    table = _table("class", "normal", "anomalous", "share")
    for name, counts in row.figures["confusion"].items():
        total = counts["normal"] + counts["anomalous"]
        share = _three(counts["anomalous"] / total if total else None)
        table.add_row(name, f"{counts['normal']:,}", f"{counts['anomalous']:,}", share)
    return table


def _decision_table(extra: Mapping[str, Any]) -> Table:
    table = _table(
        *("record", "beats", "R Se %", "R +P %", "abn.", "Se %", "+P %", "FPR %", "VEB Se %", "SVEB Se %"),
        "bad 10 s %",
    )
    lines = {**extra["by_record"], "gross": extra["gross"]}
    if "gross_without_232" in extra:
        lines["without 232"] = extra["gross_without_232"]
    for name, line in lines.items():
        counts, shares = line["counts"], line["rates"]
        if name == "gross":
            table.add_section()
        keys = ("abnormal_se", "abnormal_ppv", "fpr", "veb_se", "sveb_se", "bad_windows")
        table.add_row(
            name,
            f"{counts['annotated']:,}",
            *(_percent(shares[key]) for key in ("r_se", "r_ppv")),
            f"{counts['annotated'] - counts['beats_N']:,}",
            *(_percent(shares[key]) for key in keys),
        )
    return table


def _gross_table(decided: Mapping[str, Mapping[str, Any]]) -> Table:
    keys = {"abnormal_se": "Se %", "abnormal_ppv": "+P %", "fpr": "FPR %", "veb_se": "VEB Se %", "sveb_se": "SVEB Se %"}
    table = _table("decision", *keys.values(), "worst FPR %", "in")
    for name, of_model in decided.items():
        for part, text in (("gross", name), ("gross_without_232", f"{name}, no 232")):
            if part not in of_model:
                continue
            rates, intervals = of_model[part]["rates"], of_model[part]["intervals"]
            worst = of_model.get("worst_fpr") if part == "gross" else None
            table.add_row(
                text,
                *(f"{_percent(rates[key])} {_percents(intervals.get(key))}" for key in keys),
                _percent(worst["fpr"]) if worst else "",
                worst["record"] if worst else "",
            )
    return table


def _noise_table(by_snr: Mapping[str, Any]) -> Table:
    keys = {
        "r_se": "R Se",
        "r_ppv": "R +P",
        "unscorable": "unscorable",
        "fpr_scored": "FPR of scored",
        "abnormal_se": "abnormal Se",
        "abnormal_se_scored": "of scored",
    }
    table = _table("noise", *keys.values())
    for name, kinds in by_snr.items():
        noisy, clean = kinds["noisy"]["rates"], kinds["clean"]["rates"]
        table.add_row(name, *(f"{_percent(noisy[key])} / {_percent(clean[key])}" for key in keys))
    return table


def _three(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _interval(bounds: tuple[float, float] | None) -> str:
    return "-" if bounds is None else f"{bounds[0]:.3f}-{bounds[1]:.3f}"


def _percents(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f"({100 * bounds[0]:.1f}-{100 * bounds[1]:.1f})"
