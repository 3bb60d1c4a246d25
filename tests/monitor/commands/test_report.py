"""`ecg-monitor report`: one file without script or outside reference, from a recording, results and a record."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from monitor.archive.stored import stored_record
from tests.monitor.archive.helpers import write_record
from tests.monitor.commands.conftest import Here, Session

VOID = {"meta", "br", "link", "img"}


class Page(HTMLParser):
    """Texts of a page; unbalanced tags fail."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        assert not [name for name, _ in attrs if name in ("src", "href") or name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(path: Path) -> tuple[Page, str]:
    page = Page(path.read_text())
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert len(set(page.ids)) == len(page.ids)
    return page, " ".join(page.words)


@pytest.fixture
def made(session: Session, here: Here, tmp_path: Path) -> Path:
    out = tmp_path / "report.html"
    words = ("--name", "<script>alert(1)</script>", "--id", 'x" onload="y', "--comment", "a\x1b[2J\udcffb", "--full")
    done = here("report", str(session.folder), "--out", str(out), *words)
    assert (done.code, done.out) == (0, ""), done.err
    return out


def test_a_recording(session: Session, made: Path) -> None:
    _, text = read(made)
    assert "<script>alert(1)</script>" in text
    assert 'x" onload="y' in text
    for heading in ("Summary", "Heart rate by 5 minutes", "Heart rate variability", "Ectopic beats", "Pauses", "Limits",
                    "Rhythm episodes", "Shapes of beats", "Strips", "Full disclosure"):  # fmt: skip
        assert heading in text
    assert "Not a medical device" in text
    assert "ST segments are left out" in text
    assert re.search(r"SHA-256\s+[0-9a-f]{64}", text)
    beats = (session.folder / "p1" / "beats.csv").read_text().splitlines()[1:]
    assert f"{len(beats)}, " in text
    assert "asystole" in text
    assert text.count("25 mm/s") >= 3  # strips


def test_results_and_a_record_give_the_same_figures(session: Session, here: Here, made: Path, tmp_path: Path) -> None:
    def figures(text: str) -> list[str]:
        return re.findall(
            r"<td[^>]*>([^<]*)</td>", text.partition("<h2>Heart rate variability")[2].partition("Limits")[0]
        )

    assert here("score", session.story, "--out", str(tmp_path / "s"), "--processes", "1", "--strips", "0").code == 0
    for number, asked in enumerate((str(tmp_path / "s"), session.story)):
        out = tmp_path / f"{number}.html"
        done = here("report", asked, "--out", str(out))
        assert done.code == 0, done.err
        read(out)
        numbers = [cell for cell in figures(out.read_text()) if ":" not in cell]  # times: only a recording has a clock
        assert numbers == [cell for cell in figures(made.read_text()) if ":" not in cell]
        assert len(numbers) > 30


@pytest.mark.parametrize("scenario", ["leadsoff=20", "sinus=3", "vf=20"])
def test_a_record_with_few_beats_or_none(scenario: str, here: Here, tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    done = here("report", f"sim:{scenario}", "--out", str(out), "--full")
    assert done.code == 0, done.err
    _, text = read(out)
    assert "nan" not in text.lower().replace("sdann", "")
    assert "None" not in text


def test_each_return_of_a_latched_alarm_is_an_episode(here: Here, tmp_path: Path) -> None:
    """`score` has no acknowledgements: the second arrest has the id of the first."""
    story = "sim:sinus=40,asystole=8,sinus=60,asystole=12,sinus=30"
    assert here("score", story, "--out", str(tmp_path), "--processes", "1", "--strips", "0").code == 0
    record = stored_record(tmp_path)
    arrests = [episode for episode in record.episodes if episode.kind == "asystole"]
    times_s = [(e.first_sample / record.beats.fs_hz, e.end_sample / record.beats.fs_hz) for e in arrests]
    assert len(times_s) == 2
    for (first_s, end_s), begin_s, length_s in zip(times_s, (40, 108), (8, 12), strict=True):
        assert begin_s - 2 < first_s < begin_s + 1, "a standstill begins with the last QRS, also when it comes back"
        assert begin_s + length_s - 1 < end_s < begin_s + length_s + 6


def test_an_update_of_an_alarm_is_no_new_episode(here: Here, tmp_path: Path) -> None:
    assert here("score", "sim:sinus=40,af=400,sinus=90", "--out", str(tmp_path), "--processes", "1").code == 0
    (alarms,) = tmp_path.glob("*/alarms.jsonl")
    assert '"update":true' in alarms.read_text()
    record = stored_record(tmp_path)
    irregular = [e for e in record.episodes if e.kind == "irregular_rhythm"]
    lasted_s = [(e.end_sample - e.first_sample) / record.beats.fs_hz for e in irregular]
    assert len(lasted_s) == 1
    assert 350 < lasted_s[0] < 450
    out = tmp_path / "r.html"
    assert here("report", str(tmp_path), "--out", str(out)).code == 0
    assert re.search(r"Not meaningful for this record: irregular rhythm \(suspected AF\) in \d\d\.", out.read_text())


def test_a_record_that_changed_since_it_was_scored_is_refused(here: Here, tmp_path: Path) -> None:
    path, out = write_record(tmp_path / "in" / "a", "sinus=25"), tmp_path / "r.html"
    assert here("score", str(path), "--out", str(tmp_path / "s"), "--processes", "1").code == 0
    assert here("report", str(tmp_path / "s"), "--out", str(out)).code == 0
    write_record(path, "sinus=30")
    done = here("report", str(tmp_path / "s"), "--out", str(out))
    assert done.code == 2
    assert "changed since it was scored; score it again" in done.err


def test_what_cannot_be_used_is_one_line(session: Session, here: Here, tmp_path: Path) -> None:
    lost = tmp_path / "lost"
    shutil.copytree(session.folder / "p1", lost)
    (lost / "signal.dat").unlink()
    bad = tmp_path / "bad"
    shutil.copytree(session.folder / "p1", bad)
    (bad / "alarms.jsonl").write_text("{}\n")
    out = str(tmp_path / "r.html")
    cases = {
        (str(session.folder), "--out", str(tmp_path)): "is a folder; name a file",
        (str(session.folder), "--out", str(tmp_path / "no" / "r.html")): "there is no folder",
        (str(lost), "--out", out): "signal.dat",
        (str(bad), "--out", out): "alarms.jsonl: line 1 is no alarm",
        (str(tmp_path), "--out", out): "holds 2 records",
    }
    for words, text in cases.items():
        done = here("report", *words)
        assert done.code == 2, words
        assert len(done.err.splitlines()) == 1
        assert text in done.err
    assert not Path(out).exists()


@pytest.mark.slow
@pytest.mark.parametrize(("paper", "size"), [("A4", (595, 842)), ("Letter", (612, 792))])
def test_it_prints_on_both_papers(paper: str, size: tuple[int, int], made: Path, tmp_path: Path) -> None:
    """Chromium prints it; nothing is wider than the page."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    assert chromium, "install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 703, "height": 900})  # 186 mm
        page.emulate_media(media="print")
        page.goto(made.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 703
        page.pdf(path=tmp_path / "r.pdf", format=paper, prefer_css_page_size=False)
        browser.close()
    pdf = (tmp_path / "r.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    boxes = [tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox \[([^\]]*)\]", pdf)]
    assert boxes
    assert all(box[2:] == pytest.approx(size, abs=2) for box in boxes)
    assert 4 <= len(re.findall(rb"/Type /Page\b", pdf)) <= 14
