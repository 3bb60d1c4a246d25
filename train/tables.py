"""Markdown tables of the results: all figures for docs/quality.md, a short table for README.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from train.evaluate.protocols import TWO_LEADS
from train.evaluate.results import FOLDER, read_results
from train.table_notes import COMMAND, notes

__all__ = [
    "BEGIN",
    "END",
    "OURS",
    "QUALITY_PAGE",
    "README",
    "SHORT_MARKERS",
    "SHORT_NOTE",
    "page_with",
    "put",
    "render",
    "render_short",
    "rendered_pages",
    "short_rows",
]

README: Final = Path(__file__).parents[1] / "README.md"
QUALITY_PAGE: Final = README.parent / "docs" / "quality.md"
BEGIN: Final = "<!-- results -->"
END: Final = "<!-- /results -->"
SHORT_MARKERS: Final = ("<!-- quality -->", "<!-- /quality -->")

Result = Mapping[str, Any]
Bounds = tuple[float, float]
Found = tuple[float | None, Bounds | None]
Get = Callable[[Result, str], Found]

_NOT_MEASURED: Final = f"Not measured yet: `{COMMAND}`, then `python -m train table`."
OURS: Final = "ours"
_PUBLISHED: Final = "published"
# Reference method without learning of each protocol.
_REFERENCES: Final[Mapping[str, str]] = {
    "kaggle": "1-nearest neighbour",
    "inter": "template baseline",
    "stream": "template, streaming",
}
_TITLES: Final[Mapping[str, str]] = {
    "kaggle": "`kaggle`: the public beats, patients on both sides",
    "inter": "`inter`: new patients (DS2), annotated R-peaks",
    "stream": "`stream`: new patients (DS2), as the monitor runs",
    "nstdb": "`nstdb`: electrode motion at 6 dB and better (118, 119)",
}


@dataclass(frozen=True, slots=True)
class _Figure:
    """One line of the long table.

    Attributes:
        protocol: protocol of the result.
        title: text of the first column.
        get: figure and interval of a method (name of a row or model); None if it has none.
        goal: our goal, or a function that derives it from the result; None = no goal.
        higher: True = higher is better.
        unit: `` or `%`.
    """

    protocol: str
    title: str
    get: Get
    goal: float | Callable[[Result], float | None] | None = None
    higher: bool = True
    unit: str = ""


def _at(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _score(*keys: str, drawn: str | None = None, without: bool = False) -> Get:
    """A figure of a row; `drawn` is the name of its bootstrap interval."""

    def get(result: Result, name: str) -> Found:
        row = next((row for row in result["rows"] if row["name"] == name), None)
        part = _at(row, "without_232") if without else row
        return _at(part, *keys), _at(part, "intervals", drawn or keys[-1])

    return get


def _decision(key: str, without: bool = False) -> Get:
    """A rate of a model's decisions."""

    def get(result: Result, name: str) -> Found:
        part = _at(result, "decisions", name, "gross_without_232" if without else "gross")
        return _at(part, "rates", key), _at(part, "intervals", key)

    return get


def _worst_fpr(result: Result, name: str) -> Found:
    return _at(result, "decisions", name, "worst_fpr", "fpr"), None


def _r_peaks(key: str) -> Get:
    def get(result: Result, name: str) -> Found:
        if name != OURS:  # all models share the detector
            return None, None
        return _at(result, "r_peaks", "gross", "rates", key), _at(result, "r_peaks", "gross", "intervals", key)

    return get


def _worst_r_peaks(result: Result, name: str) -> Found:
    quality = _at(result, "r_peaks", "worst_record_outside_flutter", "lower_of_se_and_ppv")
    return (quality, None) if name == OURS else (None, None)


def _noise(key: str, kind: str = "noisy", snr: str = "6 dB and better") -> Get:
    def get(result: Result, name: str) -> Found:
        part = _at(result, "noise", name, snr, kind)
        return _at(part, "rates", key), _at(part, "intervals", key)

    return get


def _twice_clean(result: Result) -> float | None:
    """Goal for false positives in noise: at most twice those of the clean minutes."""
    clean = _noise("fpr_scored", "clean")(result, OURS)[0]
    return None if clean is None else 2 * clean


_FIGURES: Final = (
    _Figure("kaggle", "AUROC", _score("auroc"), 0.985),
    _Figure("kaggle", "best F1 (threshold chosen on the test labels)", _score("best", "f1", drawn="best_f1"), 0.90),
    _Figure("kaggle", "F1 at the threshold fixed beforehand", _score("fixed", "f1", drawn="fixed_f1")),
    _Figure("inter", "AUROC", _score("auroc"), 0.93),
    _Figure("inter", "AUROC, without 232", _score("auroc", without=True), 0.985),
    _Figure("inter", "AUROC, mean over records", _score("record_mean_auroc"), 0.98),
    _Figure("inter", "AUROC, mean over records, without 232", _score("record_mean_auroc", without=True), 0.99),
    _Figure("inter", "VEB Se at 1 % FPR", _score("veb_se_at_1pct_fpr"), 0.97),
    _Figure("inter", "SVEB Se at 5 % FPR, without 232", _score("sveb_se_at_5pct_fpr", without=True), 0.90),
    _Figure("stream", "AUROC", _score("auroc"), 0.93),
    _Figure("stream", "AUROC, without 232", _score("auroc", without=True), 0.985),
    _Figure("stream", "AUROC, mean over records", _score("record_mean_auroc"), 0.98),
    _Figure("stream", "VEB Se at 1 % FPR", _score("veb_se_at_1pct_fpr"), 0.97),
    _Figure("stream", "abnormal beats called, without 232", _decision("abnormal_se", without=True), 0.85, unit="%"),
    _Figure("stream", "normal beats called, without 232", _decision("fpr", without=True), 0.02, False, "%"),
    _Figure("stream", "normal beats called, worst record", _worst_fpr, 0.10, False, "%"),
    _Figure("stream", "ventricular beats called", _decision("veb_se"), unit="%"),
    _Figure("stream", "supraventricular beats called, without 232", _decision("sveb_se", without=True), unit="%"),
    _Figure("stream", "10-s windows with a missed or extra R-peak", _decision("bad_windows"), 0.03, False, "%"),
    _Figure("stream", "R-peak Se, all 48 records", _r_peaks("r_se"), 0.996, unit="%"),
    _Figure("stream", "R-peak +P, all 48 records", _r_peaks("r_ppv"), 0.996, unit="%"),
    _Figure("stream", "R-peak +P, flutter left out", _r_peaks("r_ppv_outside_flutter"), 0.996, unit="%"),
    _Figure("stream", "R-peak Se or +P of the worst record, flutter left out", _worst_r_peaks, 0.97, unit="%"),
    _Figure("nstdb", "R-peak Se, noisy minutes", _noise("r_se"), unit="%"),
    _Figure("nstdb", "R-peak +P, noisy minutes", _noise("r_ppv"), unit="%"),
    _Figure("nstdb", "scored normal beats called, noisy minutes", _noise("fpr_scored"), _twice_clean, False, "%"),
    _Figure("nstdb", "scored normal beats called, clean minutes", _noise("fpr_scored", "clean"), unit="%"),
    _Figure("nstdb", "at 12 dB: scored normal beats called", _noise("fpr_scored", snr="12 dB"), 0.03, False, "%"),
    _Figure("nstdb", "at 12 dB: beats marked unscorable", _noise("unscorable", snr="12 dB"), unit="%"),
)


@dataclass(frozen=True, slots=True)
class _ShortFigure:
    """One line of the short table.

    Attributes:
        title: text of the first column.
        protocol: protocol of the result.
        get: see `_Figure`.
        unit: `` or `%`.
        reference: fixed text for the last column; empty = the figure of the protocol's reference method.
    """

    title: str
    protocol: str
    get: Get
    unit: str = ""
    reference: str = ""


_SHORT: Final = (
    _ShortFigure("public beats, AUROC", "kaggle", _score("auroc"), reference="0.93 (published model)"),
    _ShortFigure("public beats, best F1", "kaggle", _score("best", "f1"), reference="0.88 (published model)"),
    _ShortFigure("new patients, AUROC¹", "stream", _score("auroc", without=True)),
    _ShortFigure("abnormal beats found¹", "stream", _decision("abnormal_se", without=True), "%"),
    _ShortFigure("normal beats called abnormal¹", "stream", _decision("fpr", without=True), "%"),
    _ShortFigure("R-peak sensitivity, 48 records", "stream", _r_peaks("r_se"), "%", "99.6 % (goal)"),
    _ShortFigure("R-peak positive predictivity, 48 records", "stream", _r_peaks("r_ppv"), "%", "99.6 % (goal)"),
)
SHORT_NOTE: Final = "¹ DS2 of MIT-BIH without record 232, as the monitor runs; decisions at the shipped threshold."


def render_short(results: Mapping[str, Result]) -> str:
    """The short table as Markdown.

    Args:
        results: by protocol, from `read_results`; a protocol may be absent.
    """
    if not results:
        return _NOT_MEASURED
    lines = ["| figure | ours | reference |", "|---|---:|---:|"]
    lines += [f"| {title} | **{value}** | {reference} |" for title, value, reference in short_rows(results)]
    return "\n".join([*lines, "", SHORT_NOTE])


def short_rows(results: Mapping[str, Result]) -> list[tuple[str, str, str]]:
    """Title, our value and reference of each line of the short table, as text."""
    rows = []
    for figure in _SHORT:
        result = results.get(figure.protocol)
        value = "" if result is None else _text(figure.get(result, OURS)[0], figure.unit)
        if result is not None and value:
            method = _REFERENCES[figure.protocol]
            reference = figure.reference or f"{_text(figure.get(result, method)[0], figure.unit)} (no learning)"
            rows.append((figure.title, value, reference))
    return rows


def render(results: Mapping[str, Result]) -> str:
    """The long tables as Markdown.

    Args:
        results: by protocol, from `read_results`; a protocol may be absent.
    """
    if not results:
        return _NOT_MEASURED
    heads = "| figure | published | no learning | **ours** | 95 % interval | goal | ours, two leads |"
    lines = [heads, "|---|---:|---:|---:|---:|---|---:|"]
    for protocol, title in _TITLES.items():
        result = results.get(protocol)
        if result is None:
            continue
        lines.append(f"| **{title}** | | | | | | |")
        lines += [_line(figure, result) for figure in _FIGURES if figure.protocol == protocol]
    parts = ["\n".join(lines), notes(results)]
    if "nstdb" in results and (noise := _noise_table(results["nstdb"])):
        parts.append(noise)
    return "\n\n".join(parts)


def page_with(path: Path, tables: str, markers: tuple[str, str]) -> str:
    """Content that a page should have: the file with the tables between its markers.

    Raises:
        ValueError: the page is absent, or a marker is missing.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; give a page with {markers[0]}") from error
    return put(text, tables, markers, path.name)


def put(page: str, tables: str, markers: tuple[str, str] = (BEGIN, END), name: str = "README.md") -> str:
    """Replace the text between two markers of a page.

    Raises:
        ValueError: a marker is missing.
    """
    begin, end = (page.find(marker) for marker in markers)
    if begin < 0 or end < begin:
        raise ValueError(f"{name} has no {markers[0]} and {markers[1]}: add the two lines where the tables belong")
    return f"{page[: begin + len(markers[0])]}\n{tables}\n{page[end:]}"


def rendered_pages(folder: Path = FOLDER, readme: Path = README, page: Path = QUALITY_PAGE) -> dict[Path, str]:
    """Content that both pages should have, by path.

    Args:
        folder: of the results.
        readme: page for the short table.
        page: page for the long tables.

    Raises:
        ValueError: a page is absent, a marker is missing, or a result cannot be read.
    """
    results = read_results(folder)
    return {
        readme: page_with(readme, render_short(results), SHORT_MARKERS),
        page: page_with(page, render(results), (BEGIN, END)),
    }


def _line(figure: _Figure, result: Result) -> str:
    published, reference = (
        _text(figure.get(result, name)[0], figure.unit) if name else ""
        for name in (_PUBLISHED, _REFERENCES.get(figure.protocol))
    )
    ours, bounds = figure.get(result, OURS)
    between = "" if bounds is None else " to ".join(_text(bound, figure.unit) for bound in bounds)
    wanted = figure.goal(result) if callable(figure.goal) else figure.goal
    goal = ""
    if wanted is not None:
        goal = f"{'≥' if figure.higher else '≤'} {_text(wanted, figure.unit, plain=True)}"
        goal += " (twice the clean)" if callable(figure.goal) else ""
        if ours is not None:
            met = ours >= wanted if figure.higher else ours <= wanted
            goal += ", met" if met else ", missed"
    mine = _text(ours, figure.unit)
    mine = f"**{mine}**" if mine else ""
    two_leads = _text(figure.get(result, f"{OURS}{TWO_LEADS}")[0], figure.unit)
    return f"| {figure.title} | {published} | {reference} | {mine} | {between} | {goal} | {two_leads} |"


def _text(value: float | None, unit: str, plain: bool = False) -> str:
    if value is None:
        return ""
    if unit == "%":
        return f"{100 * value:.3g} %" if plain else f"{100 * value:.2f} %"
    return f"{value:g}" if plain else f"{value:.3f}"


def _noise_table(result: Result) -> str:
    by_snr = result["noise"].get(OURS) or next(iter(result["noise"].values()), None)
    if not by_snr:
        return ""
    columns: Sequence[tuple[str, str, bool]] = (
        ("R-peak Se", "r_se", False),
        ("R-peak +P", "r_ppv", False),
        ("marked unscorable", "unscorable", True),
        ("normal beats called, of those scored", "fpr_scored", True),
        ("abnormal beats called", "abnormal_se", True),
    )
    heads = [f"{title}, noisy / clean" if both else title for title, _, both in columns]
    lines = [f"| noise | {' | '.join(heads)} |", "|---|" + "---:|" * len(columns)]
    for name, kinds in by_snr.items():
        cells = []
        for _, key, both in columns:
            noisy, clean = (_text(kinds[kind]["rates"][key], "%") or "-" for kind in ("noisy", "clean"))
            cells.append(f"{noisy} / {clean}" if both else noisy)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [
        "",
        "Records 118 and 119 are training records: compare the noisy minutes with the clean ones beside them.",
    ]
    return "\n".join(lines)
