"""The review over HTTP with a real client: what a page gets, decisions, two pages, failures, access."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
import wfdb

from monitor.recording.review_file import ReviewFiles
from monitor.reports.decisions import Decision, Mark
from monitor.web.server import WebOptions
from tests.monitor.web.helpers import ask, keys_in, login
from tests.monitor.web.review.helpers import NOW, ODD, ODD_SHAPE, RUN, Client, beats, desk_in, served_review

R = beats().r_sample.tolist()
ANNA = f"{NOW:%Y-%m-%dT%H:%M:%SZ}"
START = {"run": RUN, "seen": 0}
BODY = json.dumps({**START, "verdict": "V", "marks": [[R[5], ""]]})


def with_pages(folder: Path, act: Callable[[Client, Client], Awaitable[None]]) -> None:
    """Run `act` with two pages of a record whose decisions are in `folder`."""

    async def run(address: str) -> None:
        async with aiohttp.ClientSession() as session, aiohttp.ClientSession() as other:
            await act(Client(session, address), Client(other, address))

    with served_review(folder) as address:
        asyncio.run(run(address))


def read(folder: Path) -> dict[Mark, Decision]:
    return ReviewFiles([(folder / "signal", 0)]).read()


def test_what_a_page_gets(tmp_path: Path) -> None:
    async def act(page: Client, _: Client) -> None:
        about = await page.get("")
        events = about["events"]
        assert [r for r, alarm in zip(events["sample"], events["alarm"], strict=True) if not alarm] == [
            R[row] for row in sorted(ODD)
        ]
        assert {alarm for alarm in events["alarm"] if alarm} == {"asystole", "ventricular_run"}
        titles = [group["title"] for group in about["groups"]]
        assert titles == ["asystole", "ventricular run", "ventricular-looking", "other anomalous"]
        assert [group["verdict"] for group in about["groups"]] == ["true", "true", "V", "Q"]
        assert (about["reviewer"], about["may_decide"], about["changed"], about["obstacle"]) == ("anna", True, [], "")
        part = await page.get("/strip", first=R[5] - 100, n=400)
        assert part["r_sample"] == [r for r in R if R[5] - 100 <= r < R[5] + 300]
        assert len(part["mv"]) == 400
        assert part["mv"][0] == pytest.approx(math.sin((R[5] - 100) / 20), abs=2e-3)
        edge = await page.get("/strip", first=-10, n=20)
        assert (edge["mv"][:10], None in edge["mv"][10:]) == ([None] * 10, False)
        whole = await page.get("/overview")
        assert {len(whole[name]) for name in ("low_bpm", "mean_bpm", "high_bpm", "score")} == {whole["columns"]}
        rates = [value for value in whole["mean_bpm"] if value is not None]
        assert rates == pytest.approx([75.0] * len(rates), abs=0.5)
        assert len(rates) > 10
        assert len((await page.get("/spread", group=2))["cuts"]) == len(ODD_SHAPE)

    with_pages(tmp_path, act)
    with served_review(tmp_path) as address:
        page = ask(address)
    assert "review.js" in page.text
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]


def test_decisions_are_saved_when_the_answer_comes(tmp_path: Path) -> None:
    async def act(page: Client, _: Client) -> None:
        assert (await page.decide("V", (R[5], "")))[0] == 200
        assert read(tmp_path) == {Mark(R[5]): Decision("V", "anna", ANNA)}
        assert (await page.decide("false", (2000, "asystole")))[0] == 200
        assert (await page.decide("N", (R[6], "")))[0] == 200  # a usual beat
        assert (await page.decide("S", (R[10] + 100, ""), add=True))[0] == 200
        assert page.known == {
            (R[5], ""): "V", (2000, "asystole"): "false", (R[6], ""): "N", (R[10] + 100, ""): "S"
        }  # fmt: skip
        assert (await page.decide("|", (R[10] + 100, "")))[0] == 200  # an added beat that is none is taken out
        assert (await page.decide("", (R[6], "")))[0] == 200
        assert {mark: each.verdict for mark, each in read(tmp_path).items()} == {
            Mark(R[5]): "V", Mark(2000, "asystole"): "false"
        }  # fmt: skip

    with_pages(tmp_path, act)
    notes = wfdb.rdann(str(tmp_path / "signal"), "review")
    assert (notes.sample.tolist(), notes.symbol) == ([R[5], 2000], ["V", '"'])
    with desk_in(tmp_path) as desk:  # the next start
        assert {tuple(each[:3]) for each in desk.changes(-1)["changed"]} == {
            (R[5], "", "V"),
            (2000, "asystole", "false"),
        }


def test_a_group_is_decided_at_once_and_undone(tmp_path: Path) -> None:
    async def act(page: Client, _: Client) -> None:
        assert (await page.decide("N", (R[9], "")))[0] == 200
        assert (await page.decide("V", group=2))[0] == 200
        expected = {(R[row], ""): "V" for row in ODD_SHAPE} | {(R[9], ""): "N"}  # what was decided stays
        assert page.known == expected
        status, text = await page.decide("V", group=2)
        assert (status, text) == (400, "nothing to decide: all of this group have a decision\n")
        assert (await page.step("undo"))[0] == 200
        assert page.known == {(R[9], ""): "N"}
        assert read(tmp_path) == {Mark(R[9]): Decision("N", "anna", ANNA)}
        assert (await page.step("redo"))[0] == 200
        assert page.known == expected
        for _step in range(5):  # more than there are
            assert (await page.step("undo"))[0] == 200
        assert page.known == {}

    with_pages(tmp_path, act)
    assert read(tmp_path) == {}


def test_two_pages(tmp_path: Path) -> None:
    async def act(page: Client, other: Client) -> None:
        assert (await page.decide("V", (R[5], "")))[0] == 200
        status, text = await other.decide("N", (R[5], ""))
        assert (status, "another page" in text) == (409, True)
        assert (await other.decide("S", (R[9], "")))[0] == 200  # of another beat
        assert other.known == {(R[5], ""): "V", (R[9], ""): "S"}
        assert (await page.step("undo"))[0] == 409
        await page.look()
        assert page.known == other.known
        assert (await page.step("undo"))[0] == 200
        together = await asyncio.gather(
            *(client.decide(verdict, (R[13], "")) for client, verdict in ((page, "V"), (other, "N")))
        )
        assert sorted(status for status, _ in together) == [200, 409]
        await asyncio.gather(page.look(), other.look())
        assert page.known == other.known

    with_pages(tmp_path, act)


def test_a_page_of_an_earlier_start_cannot_decide(tmp_path: Path) -> None:
    async def act(page: Client, _: Client) -> None:
        assert (await page.get("/changes"))["run"] == RUN

        old = {"run": "2026-11-30T05:00:00+00:00", "seen": 0}
        for path, body in (
            ("decide", {"verdict": "V", "group": 2}),  # another group, where another recording is reviewed now
            ("decide", {"verdict": "V", "marks": [[R[5], ""]]}),
            ("undo", {}),
        ):
            assert await page.post(f"/{path}", {**old, **body}) == (
                409, "the review was started again, load this page again\n"
            )  # fmt: skip

    with_pages(tmp_path, act)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_saved_does_not_count_and_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "rec"
    folder.mkdir()

    async def act(page: Client, other: Client) -> None:
        assert (await page.decide("V", (R[5], "")))[0] == 200
        shutil.move(folder, tmp_path / "away")
        status, text = await page.decide("V", (R[9], ""))
        assert status == 507
        assert text.startswith("not saved: ")
        assert len(text.splitlines()) == 1
        await page.look()
        assert page.known == {(R[5], ""): "V"}
        assert "cannot be written" in (await other.get("/changes"))["obstacle"]
        shutil.move(tmp_path / "away", folder)
        assert (await page.decide("V", (R[9], "")))[0] == 200

    with_pages(folder, act)
    assert set(read(folder)) == {Mark(R[5]), Mark(R[9])}


def test_wrong_requests_are_one_line(tmp_path: Path) -> None:
    cases = [
        ({**START, "verdict": "X", "marks": [[R[5], ""]]}, "verdict 'X': give one of N, S, V, F, Q"),
        ({**START, "verdict": "true", "marks": [[R[5], ""]]}, "verdict 'true'"),
        ({**START, "verdict": "V", "marks": [[2000, "asystole"]]}, "verdict 'V'"),
        ({**START, "verdict": "V", "marks": [[R[5] + 1, ""]]}, "no beat at sample"),
        ({**START, "verdict": "true", "marks": [[1, "asystole"]]}, "no alarm asystole at sample 1"),
        ({**START, "verdict": "V", "marks": [[R[5] + 9, ""]], "add": True}, "a beat is there already"),
        ({**START, "verdict": "V", "marks": [[9000, ""]], "add": True}, "outside of the record"),
        ({**START, "verdict": "V", "marks": [[-9000, ""]], "add": True}, "outside of the record"),
        ({**START, "verdict": "V", "marks": [[1, ""], [90, ""]], "add": True}, "one beat at a time"),
        ({**START, "verdict": "V", "marks": []}, "nothing to decide"),
        ({**START, "verdict": "V", "group": 99}, "nothing to decide"),
        ({**START, "verdict": "V", "marks": [[1e300, ""]]}, "int"),
        ({**START, "verdict": "V", "marks": [[R[5], ""]], "who": "ben"}, "unknown field"),
        ([], "object"),
    ]

    async def act(page: Client, _: Client) -> None:
        for body, words in cases:
            status, text = await page.post("/decide", body)
            assert (status, len(text.splitlines())) == (400, 1), text
            assert words in text

    with_pages(tmp_path, act)
    assert not list(tmp_path.iterdir())
    with served_review(tmp_path) as address:
        for path in ("strip?first=0&n=0", "strip?first=0&n=99999999", "strip", "spread?group=-1", "changes?seen=x"):
            assert ask(address, f"/api/review/{path}").status == 400, path


def test_other_sites_are_refused(tmp_path: Path) -> None:
    json_type = {"content_type": "application/json"}
    with served_review(tmp_path) as address:
        decide = "/api/review/decide"
        assert ask(address, decide, "POST", body=BODY, origin="https://evil.example", **json_type).status == 403
        assert ask(address, decide, "POST", body=BODY, sec_fetch_site="cross-site", **json_type).status == 403
        assert ask(address, "/api/review", sec_fetch_site="cross-site").status == 403
        assert ask(address, decide, "POST", body=BODY, host="evil.example", **json_type).status == 421
        assert ask(address, decide, "POST", body=BODY, content_type="text/plain").status == 415
        assert ask(address, decide, "POST", body="x" * 200_000, **json_type).status == 413
        assert not list(tmp_path.iterdir())
        own = address.removesuffix("/")
        assert (
            ask(address, decide, "POST", body=BODY, origin=own, sec_fetch_site="same-origin", **json_type).status == 200
        )
    assert set(read(tmp_path)) == {Mark(R[5])}


def test_with_keys_only_an_operator_decides_and_signs(tmp_path: Path) -> None:
    tokens = keys_in(tmp_path / "keys")
    with served_review(tmp_path, WebOptions(keys=str(tmp_path / "keys"))) as address:
        assert ask(address).status == 200  # the page itself; nothing of the record
        for path in ("", "/strip?first=0&n=9", "/changes", "/overview"):
            assert ask(address, f"/api/review{path}").status == 401
        decide, json_type = "/api/review/decide", {"content_type": "application/json"}
        assert ask(address, decide, "POST", body=BODY, **json_type).status == 401
        ward = login(address, tokens["ward"])
        assert json.loads(ask(address, "/api/review", cookie=ward).text)["may_decide"] is False
        assert ask(address, decide, "POST", body=BODY, cookie=ward, **json_type).status == 403
        assert read(tmp_path) == {}
        desk = login(address, tokens["desk"])
        assert ask(address, decide, "POST", body=BODY, cookie=desk, **json_type).status == 200
    assert read(tmp_path)[Mark(R[5])].who == "desk"
