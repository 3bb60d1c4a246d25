"""The demo in Chromium."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests.monitor.demo.conftest import Served
from tests.monitor.web.conftest import Complaints

pytestmark = pytest.mark.slow

LOADING_MS = 60_000


def ready(page: Page, served: Served, where: str = "") -> None:
    page.goto(served.address + where)
    expect(page.locator("#link")).to_have_text("● model ready", timeout=LOADING_MS)
    expect(page.locator(".beat-verdict")).not_to_be_empty(timeout=LOADING_MS)


def slide(page: Page, name: str, value: str) -> None:
    page.locator(".sliders label", has_text=name).locator("input").fill(value)


def test_all_shipped_scores_equal_pythons(page: Page, served_demo: Served, complaints: Complaints) -> None:
    page.goto(served_demo.address + "?selftest")
    shown = page.locator("#selftest")
    expect(shown).to_be_visible(timeout=3 * LOADING_MS)
    result = json.loads(shown.text_content() or "")
    assert result["beats"] > 500
    assert result["anomalous"] > 100
    assert result["worst"]["score"] < 0.01
    assert result["worst"]["log_prob"] < 0.01
    assert result["worst"]["p_value"] < 1e-4
    assert result["worst"]["threshold"] < 0.01
    assert result["other_side"] == 0
    assert result["other_words"] == []
    assert complaints == []  # no violation of the CSP either


def test_no_network_after_loading(page: Page, served_demo: Served, complaints: Complaints) -> None:
    ready(page, served_demo)
    page.locator("[data-key=bigeminy]").click()
    expect(page.locator(".stage h3").first).to_have_text("Bigeminy")
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    page.get_by_role("button", name="Random").click()
    page.get_by_role("button", name="Ventricular", exact=True).click()
    expect(page.locator(".beat-verdict")).to_have_text("▲ anomalous, bent")
    page.get_by_role("button", name="Try an example").click()
    expect(page.locator(".result")).to_have_class(re.compile("good"))
    assert complaints == []


def test_bending_a_normal_beat_makes_it_anomalous_and_reset_undoes_it(page: Page, served_demo: Served) -> None:
    ready(page, served_demo, "#bigeminy")
    page.get_by_label("Verdict").select_option("normal")
    page.get_by_label("follow the trace").uncheck()
    expect(page.locator(".beat-verdict")).to_have_text("✓ like this patient's normal beats")
    score = page.locator(".beat-facts dd").first
    before = score.text_content()
    slide(page, "QRS width", "2.2")
    expect(page.locator(".words-list")).to_contain_text("wide")
    slide(page, "earlier by", "0.3")
    expect(page.locator(".words-list")).to_contain_text("early")
    expect(page.locator(".beat-verdict")).to_have_text("▲ anomalous, bent")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Reset").click()
    expect(score).to_have_text(before or "")
    plot = page.locator(".beat-plot > svg")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    at = {"x": 0.55 * box["width"], "y": 0.5 * box["height"]}
    plot.hover(position=at)  # waits until the picture stands still
    page.mouse.down()
    plot.hover(position={**at, "y": 0.1 * box["height"]})
    page.mouse.up()
    expect(page.locator(".beat-verdict")).to_have_text("▲ anomalous, bent")


def test_the_trace_leaves_a_bent_beat_alone_also_after_a_reset(page: Page, served_demo: Served) -> None:
    ready(page, served_demo, "#bigeminy")
    follow = page.get_by_label("follow the trace")
    expect(follow).to_be_checked()
    slide(page, "T wave", "-1")
    expect(page.locator(".beat-verdict")).to_contain_text("bent")
    expect(follow).not_to_be_checked()
    page.get_by_role("button", name="Reset").click()
    expect(page.locator(".beat-verdict")).not_to_contain_text("bent")
    expect(follow).not_to_be_checked()


def test_missed_beats_of_a_record_can_be_listed(page: Page, served_demo: Served) -> None:
    ready(page, served_demo, "#mitdb-232")
    page.get_by_label("Verdict").select_option("missed")
    expect(page.locator(".beat-facts dl")).to_contain_text("S: supraventricular")
    expect(page.locator(".beat-verdict")).to_have_class(re.compile("good"))
    page.get_by_label("Annotated class").select_option("V")
    expect(page.locator(".beat-tools")).to_contain_text("no beat of this kind")


@pytest.mark.parametrize("width", [360, 1400])
def test_the_trace_runs(page: Page, served_demo: Served, width: int) -> None:
    """sweep.js is shared with the live page: what it reads of a bed must be there."""
    page.set_viewport_size({"width": width, "height": 800})
    ready(page, served_demo, "#tour")
    count = """canvas => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return data.filter((value, i) => i % 4 === 3 && value > 0).length;
    }"""
    canvas = page.locator(".trace-box canvas")
    before = 0
    for _ in range(2):  # it is drawn, and goes on
        for _ in range(200):
            if (found := canvas.evaluate(count)) > before + 100:
                break
            page.wait_for_timeout(50)
        assert found > before + 100
        before = found


def test_alarms_come_with_the_trace(page: Page, served_demo: Served) -> None:
    ready(page, served_demo, "#tour")
    timeline = page.get_by_label("Position in the recording")
    box = timeline.bounding_box()
    assert box is not None
    timeline.click(position={"x": box["width"] * 68 / 120, "y": 30})  # in the ventricular run
    alarm = page.locator(".alarm.high")
    expect(alarm.first).to_be_visible(timeout=20_000)
    alarm.first.get_by_role("button").click()
    expect(page.locator(".alarm.high.quiet").first).to_be_visible()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("empty.csv", "", "no number in the file"),
        ("words.csv", "a,b\nc,d\n", "no number in the file"),
        (
            "short.csv",
            "time,mV\n" + "\n".join(f"{i / 250},{i % 7}" for i in range(500)),
            "too short; give at least 5 s",
        ),
        ("flat.csv", "\n".join(f"{i / 250},1" for i in range(5000)), "all samples are equal"),
        ("norate.csv", "\n".join("1" for _ in range(5000)), "the sampling rate is not in the file"),
        (
            "counts.csv",
            "t,v\n" + "\n".join(f"{i / 250:.3f},{512 + i * i % 97}" for i in range(5000)),
            "counts of a converter",
        ),
        ("columns.csv", "a,b\n" + "\n".join(f"{i % 9},{i % 7}" for i in range(5000)), "2 columns could be the ECG"),
        ("back.csv", "t,v\n" + "\n".join(f"{i % 3000 / 250:.3f},{i % 7}" for i in range(5000)), "the times jump back"),
        ("public.csv", "\n".join(",".join(["0.5"] * 187) for _ in range(9)), "scaled to 0..1"),
        (
            "empty cells.csv",
            "\n".join(",".join(["0.5", "", *["-0.5"] * 185]) for _ in range(9)),
            "no row has 187 numbers",
        ),
        ("equal.csv", "\n".join(",".join(["-0.5"] * 187) for _ in range(9)), "all samples are equal"),
        ("wide.csv", "\n".join(",".join(["0.5"] * 300) for _ in range(9)), "rows of 300 numbers"),
        ("<img src=x onerror=alert(1)>.csv", "\0\0", "is no text"),
    ],
)
def test_a_file_that_is_no_ecg_is_refused_in_words(
    page: Page, served_demo: Served, name: str, text: str, says: str, complaints: Complaints
) -> None:
    ready(page, served_demo)
    page.get_by_label("CSV file").set_input_files({"name": name, "mimeType": "text/csv", "buffer": text.encode()})
    expect(page.locator(".result")).to_contain_text(says)
    expect(page.locator(".result")).to_have_class(re.compile("bad"))
    assert complaints == []


@pytest.mark.parametrize(("unit", "per_mv"), [("mV", 1.0), ("uV", 1e3), ("V", 1e-3)])
def test_rows_of_beats_are_scored_as_in_python(page: Page, served_demo: Served, unit: str, per_mv: float) -> None:
    import numpy as np

    from detector import Scorer

    facts = json.loads((served_demo.folder / "data" / "bigeminy.json").read_bytes())
    entry = facts["arrays"]["beats"]
    content = (served_demo.folder / "data" / "bigeminy.bin").read_bytes()
    beats = np.frombuffer(content, "<f4", int(np.prod(entry["shape"])), entry["offset"]).reshape(entry["shape"])[10:15]
    text = "\n".join(",".join(map(str, row.tolist())) for row in beats.astype(float) * per_mv)
    ready(page, served_demo)
    page.get_by_label("CSV file").set_input_files({"name": "five.csv", "mimeType": "text/csv", "buffer": text.encode()})
    expect(page.locator(".result")).to_contain_text("5 beats; no usual beat is known")
    expect(page.locator(".result")).to_contain_text(f"read as {unit}")
    expect(page.locator(".stage h3").first).to_have_text("five.csv")
    expected = float(Scorer().score(beats).score[0])
    expect(page.locator(".beat-facts dd").first).to_have_text(f"{expected:.2f}")


def tables() -> dict[str, tuple[list[str], str]]:
    """Name -> lines of 36 s of a synthetic patient (40 beats) as programs write them, and what the page reads."""
    from monitor.sources import SourceOptions, open_source

    samples: list[float] = []
    source = open_source("sim:sinus=36;hr=68;fs=250;seed=3", SourceOptions())
    while len(samples) < 9000 and (chunk := source.read(9000)) is not None:
        samples += chunk.samples.tolist()
    source.close()
    times = [0.004 * i for i in range(len(samples))]
    rows = list(zip(times, samples, strict=True))
    quiet = "Name,Test\nSample Rate,250 hertz\nUnit,µV\n"
    return {
        "seconds": (["t,ecg", *(f"{t:.3f},{v:.4f}" for t, v in rows)], "250 Hz, read as mV"),
        "microseconds": (
            ["timestamp,ecg_mv", *(f"{6034140 + 1e6 * t:.0f},{v:.4f}" for t, v in rows)],
            "250 Hz, read as mV",
        ),
        "iso": (["datetime,ecg", *(f"2016-11-24 13:58:{t:06.3f},{v:.4f}" for t, v in rows if t < 60)], "250 Hz"),
        "clock": (
            ["'Elapsed time','MLII'", "'hh:mm:ss.mmm','mV'", *(f"'0:{t:06.3f}',{v:.3f}" for t, v in rows)],
            "250 Hz",
        ),
        "quoted": (['"Zeit (s)","EKG (mV)"', *(f'"{t:.3f}","{v:.4f}"'.replace(".", ",") for t, v in rows)], "250 Hz"),
        "decimal comma alone": ([quiet, *(f"{1000 * v:.3f}".replace(".", ",") for _, v in rows)], "250 Hz, read as uV"),
        "an index first": (
            [",time,ECG", *(f"{i},{t:.3f},{v:.4f}" for i, (t, v) in enumerate(rows))],
            "column 3, 250 Hz",
        ),
        "losses": (["time,ecg", *(f"{t:.3f},{v:.4f}" for i, (t, v) in enumerate(rows) if i % 50 > 2)], "250 Hz"),
    }


def test_tables_as_programs_write_them(page: Page, served_demo: Served, complaints: Complaints) -> None:
    ready(page, served_demo)
    for name, (lines, says) in tables().items():
        file = {"name": f"{name}.csv", "mimeType": "text/csv", "buffer": "\n".join(lines).encode()}
        page.get_by_label("CSV file").set_input_files(file)  # type: ignore[arg-type]
        expect(page.locator(".stage h3").first).to_have_text(f"{name}.csv", timeout=LOADING_MS)
        result = page.locator(".result")
        expect(result).to_contain_text(says)
        found = re.search(r"(\d+) beats", result.text_content() or "")
        assert found is not None
        assert 36 <= int(found[1]) <= 41, f"{name}: {result.text_content()}"
    assert complaints == []


def test_noise_of_an_asystole_gives_no_beats(page: Page, served_demo: Served) -> None:
    lines, _ = tables()["seconds"]
    flat = [f"{36 + 0.004 * i:.3f},{0.01 * (i * 7919 % 13 - 6) / 6:.4f}" for i in range(9000)]
    ready(page, served_demo)
    file = {"name": "stops.csv", "mimeType": "text/csv", "buffer": "\n".join([*lines, *flat]).encode()}
    page.get_by_label("CSV file").set_input_files(file)  # type: ignore[arg-type]
    expect(page.locator(".stage h3").first).to_have_text("stops.csv", timeout=LOADING_MS)
    found = re.search(r"(\d+) beats", page.locator(".result").text_content() or "")
    assert found is not None
    assert int(found[1]) <= 42


def test_a_recording_gives_nearly_the_beats_and_verdicts_of_python(page: Page, served_demo: Served) -> None:
    import numpy as np

    facts = json.loads((served_demo.folder / "data" / "mitdb-200.json").read_bytes())
    entry = facts["arrays"]["signal"]
    content = (served_demo.folder / "data" / "mitdb-200.bin").read_bytes()
    raw = np.frombuffer(content, "<i2", entry["shape"][1], entry["offset"])
    rows = [f"{i / facts['fs_hz']:.5f};{value / 1000:.3f}".replace(".", ",") for i, value in enumerate(raw.tolist())]
    text = "Zeit;EKG\r\n" + "\r\n".join(rows)  # as spreadsheets write it where the decimal sign is a comma
    ready(page, served_demo)
    page.get_by_label("CSV file").set_input_files({"name": "200.csv", "mimeType": "text/csv", "buffer": text.encode()})
    result = page.locator(".result")
    expect(result).to_have_class(re.compile("good"), timeout=LOADING_MS)
    said = re.search(r"column 2, 360 Hz, read as mV; (\d+) beats .* (\d+) of", result.text_content() or "")
    assert said is not None, result.text_content()
    beats, anomalous = map(int, said.groups())
    assert abs(beats - len(facts["beats"])) <= 5
    expected = sum(beat["anomalous"] for beat in facts["beats"])
    assert abs(anomalous - expected) <= 0.15 * expected


@pytest.mark.parametrize("width", [360, 2560])
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_nothing_is_wider_than_the_screen(page: Page, served_demo: Served, width: int, theme: str) -> None:
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 800})
    ready(page, served_demo)
    assert page.locator("html").get_attribute("data-theme") == theme
    assert page.evaluate("document.documentElement.scrollWidth") <= width
