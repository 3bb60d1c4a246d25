"""Verdicts as tables: for a terminal, for docs/alarms.md, and one variant in detail."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from common.pages import markdown_table, wrapped

from clinical_rows.cases import Case, Row
from clinical_rows.examine import Verdict
from clinical_rows.received import Received
from clinical_rows.rows import ROWS


def of_row(verdicts: Sequence[Verdict], row: str) -> list[Verdict]:
    return sorted((each for each in verdicts if each.row == row), key=lambda each: each.number)


def share(verdicts: Sequence[Verdict]) -> float:
    """Share that passes."""
    return sum(not each.fault for each in verdicts) / len(verdicts)


def below_goal(verdicts: Sequence[Verdict]) -> list[str]:
    """Rows under their goals."""
    return [name for name, row in ROWS.items() if (part := of_row(verdicts, name)) and share(part) < row.goal - 1e-9]


def text_table(verdicts: Sequence[Verdict], *, faults: bool = True) -> str:
    """A line for each row, and the failing variants below."""
    lines = []
    for name, row in ROWS.items():
        if not (part := of_row(verdicts, name)):
            continue
        passed = sum(not each.fault for each in part)
        mark = " " if passed / len(part) >= row.goal - 1e-9 else "!"
        lines.append(f"{mark} {name:3} {passed:3} of {len(part)}  {100 * passed / len(part):5.1f} %  {_star(row)}")
        if faults:
            lines += [
                f"      {name}/{each.number:<3} {each.fault}   [{each.fs_hz:.0f} Hz; {each.about}]"
                for each in part
                if each.fault
            ]
    return "\n".join(lines)


def page_table(verdicts: Sequence[Verdict], command: str) -> str:
    """Markdown for docs/alarms.md."""
    rows = []
    for name, row in ROWS.items():
        if part := of_row(verdicts, name):
            passed = sum(not each.fault for each in part)
            goal = "" if passed / len(part) >= row.goal - 1e-9 else f"; goal {100 * row.goal:.0f} %"
            rows.append(
                (name, _star(row), row.must, f"{passed} of {len(part)} ({100 * passed / len(part):.0f} %{goal})")
            )
    failing = [wrapped(f"- {name}: {reasons}.") for name in ROWS if (reasons := _reasons(of_row(verdicts, name)))]
    return "\n\n".join([
        markdown_table(("row", "situation", "must", "variants that pass"), rows, "lllr"),
        "What fails:\n\n" + "\n".join(failing) if failing else "Every variant passes.",
        f"Measured by `{command}`.",
    ])  # fmt: skip


def _reasons(verdicts: Sequence[Verdict]) -> str:
    """Faults of a row; those that differ in their figures alone are one, with the variants that have it."""
    alike: dict[str, list[Verdict]] = {}
    for each in verdicts:
        if each.fault:
            alike.setdefault(re.sub(r"[\d.]+", "#", each.fault), []).append(each)
    parts = []
    for found in sorted(alike.values(), key=len, reverse=True):
        which = "all" if len(found) == len(verdicts) else ", ".join(str(each.number) for each in found)
        parts.append(f"{found[0].fault}{' and the like' if len(found) > 1 else ''} ({which})")
    return "; ".join(parts)


def _star(row: Row) -> str:
    return row.title + (" (*)" if row.real else "")


def detail(case: Case, received: Received, fault: str | None) -> str:
    """Everything about one variant: parameters, alarms, rates, beats missed and added."""
    tape = case.tape
    lines = [
        f"{case.about}; {tape.fs_hz:g} Hz, {tape.seconds:.0f} s, {len(tape.beats_s)} true beats",
        f"verdict: {fault or 'passes'}",
        "",
        "alarms (decided, onset):",
    ]
    lines += [
        f"  {alarm.decided_sample / tape.fs_hz:7.2f} {alarm.onset_sample / tape.fs_hz:7.2f}  {alarm.priority:6} "
        f"{alarm.kind} {alarm.state}{' (update)' if alarm.update else ''} x{alarm.count}: {alarm.text}"
        for alarm in received.alarms
        if not alarm.update
    ]
    lines += ["", "events:"]
    lines += [f"  {at_s:7.2f} {notice.kind}: {notice.text}" for at_s, notice in received.notices]
    lines += ["", "rate shown (from, bpm, quality):"]
    last: tuple[str, str] | None = None
    for (at_s, rate), (_, quality) in zip(received.rates, received.qualities, strict=True):
        now = ("-" if rate is None else f"{rate:.0f}", quality)
        if now != last:
            lines.append(f"  {at_s:7.1f} {now[0]:>4} {now[1]}")
        last = now
    missed, extra = received.missed(tape.beats_s), received.extra(0, tape.seconds)
    lines += ["", f"beats found {len(received.beats)}, missed {len(missed)}, false {len(extra)}"]
    lines.append("  missed: " + " ".join(f"{at_s:.2f}" for at_s in missed[:60]))
    lines.append("  false:  " + " ".join(f"{at_s:.2f}" for at_s in extra[:60]))
    unscored = Counter(beat.quality for beat in received.beats if beat.log_prob is None)
    lines.append(f"  not scored: {dict(unscored)}, anomalous: {sum(beat.anomalous for beat in received.beats)}")
    return "\n".join(lines)
