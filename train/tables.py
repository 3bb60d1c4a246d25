"""The README's tables of results, rendered from the files of `train/results`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from train.evaluate.results import FOLDER, read_results

__all__ = ["BEGIN", "END", "README", "put", "render", "rendered"]

README: Final = Path(__file__).parents[1] / "README.md"
BEGIN: Final = "<!-- results -->"
END: Final = "<!-- /results -->"

Result = Mapping[str, Any]
Bounds = tuple[float, float]
Found = tuple[float | None, Bounds | None]
Get = Callable[[Result, str], Found]

_COMMAND: Final = "python -m train evaluate --protocol all"
_OURS: Final = "ours"
_PUBLISHED: Final = "published"
# The method without learning that each protocol is held against.
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
    """One line of the table.

    Attributes:
        protocol: of the result.
        title: what the reader sees.
        get: the figure of a method (a row's or model's name) and its interval; None where it has none.
        goal: what we want, or how it follows from the result; None: nothing is asked.
        higher: better.
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
    """A figure of a row; `drawn` is the name of its interval."""

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
        if name != _OURS:  # the detector is the same, whatever scores its beats
            return None, None
        return _at(result, "r_peaks", "gross", "rates", key), _at(result, "r_peaks", "gross", "intervals", key)

    return get


def _worst_r_peaks(result: Result, name: str) -> Found:
    quality = _at(result, "r_peaks", "worst_record_outside_flutter", "lower_of_se_and_ppv")
    return (quality, None) if name == _OURS else (None, None)


def _noise(key: str, kind: str = "noisy") -> Get:
    def get(result: Result, name: str) -> Found:
        part = _at(result, "noise", name, "6 dB and better", kind)
        return _at(part, "rates", key), _at(part, "intervals", key)

    return get


def _twice_clean(result: Result) -> float | None:
    """As many false alarms as noise may cost: twice those of the clean minutes."""
    clean = _noise("fpr_scored", "clean")(result, _OURS)[0]
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
)


def render(results: Mapping[str, Result]) -> str:
    """The tables as Markdown.

    Args:
        results: by protocol, as `read_results` gives them; those that are absent are left out.
    """
    if not results:
        return f"Not measured yet: `{_COMMAND}`, then `python -m train table`."
    lines = ["| figure | published | no learning | **ours** | 95 % interval | goal |", "|---|---:|---:|---:|---:|---|"]
    for protocol, title in _TITLES.items():
        result = results.get(protocol)
        if result is None:
            continue
        lines.append(f"| **{title}** | | | | | |")
        lines += [_line(figure, result) for figure in _FIGURES if figure.protocol == protocol]
    parts = ["\n".join(lines), _notes(results)]
    if "nstdb" in results and (noise := _noise_table(results["nstdb"])):
        parts.append(noise)
    return "\n\n".join(parts)


def put(page: str, tables: str, markers: tuple[str, str] = (BEGIN, END), name: str = "README.md") -> str:
    """A page with the tables between their markers.

    Raises:
        ValueError: a marker is missing.
    """
    begin, end = (page.find(marker) for marker in markers)
    if begin < 0 or end < begin:
        raise ValueError(f"{name} has no {markers[0]} and {markers[1]}: put the two lines where the tables belong")
    return f"{page[: begin + len(markers[0])]}\n{tables}\n{page[end:]}"


def rendered(folder: Path = FOLDER, readme: Path = README) -> str:
    """The whole README as it should be.

    Raises:
        ValueError: no such file, a marker is missing, or a result cannot be read.
    """
    try:
        text = readme.read_text("utf-8")
    except OSError as error:
        raise ValueError(f"{readme}: {error.strerror}; give the --readme that holds {BEGIN}") from error
    return put(text, render(read_results(folder)))


def _line(figure: _Figure, result: Result) -> str:
    published, reference = (
        _text(figure.get(result, name)[0], figure.unit) if name else ""
        for name in (_PUBLISHED, _REFERENCES.get(figure.protocol))
    )
    ours, bounds = figure.get(result, _OURS)
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
    return f"| {figure.title} | {published} | {reference} | {mine} | {between} | {goal} |"


def _text(value: float | None, unit: str, plain: bool = False) -> str:
    if value is None:
        return ""
    if unit == "%":
        return f"{100 * value:.3g} %" if plain else f"{100 * value:.2f} %"
    return f"{value:g}" if plain else f"{value:.3f}"


def _notes(results: Mapping[str, Result]) -> str:
    """What the columns are, and the models behind them."""
    models = {
        f"{model['name']} ({protocol})": model["sha256"]
        for protocol, result in results.items()
        if protocol in ("kaggle", "stream")
        for model in result["models"]
    }
    hashes = ", ".join(f"{name} `{sha[:12]}`" for name, sha in models.items())
    first = next(iter(results.values()))
    kept = [f"{', '.join(result['kept'])} in {name}" for name, result in results.items() if result.get("kept")]
    then = f"Kept from an earlier state of the detector: {'; '.join(kept)}. " if kept else ""
    return (
        "published: that architecture trained by the same commands (its card says AUROC 0.930 and best F1 0.880 on a "
        "split of its own); no learning: 1-nearest neighbour in the raw samples (kaggle), how unlike the patient's "
        "template and how early a beat is (inter, stream; called over one threshold that 2 % of the training patients' "
        f"normal beats exceed). Intervals: bootstrap over records, {first['resamples']} draws, seed {first['seed']}; "
        "in nstdb over two-minute stretches. In record 232 most beats are abnormal, so what is usual is not normal. "
        f"{then}SHA-256: {hashes}. Written by `python -m train table` from [train/results](train/results), which "
        f"`{_COMMAND}` writes."
    )


def _noise_table(result: Result) -> str:
    by_snr = result["noise"].get(_OURS) or next(iter(result["noise"].values()), None)
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
