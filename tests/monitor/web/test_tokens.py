"""Tokens, sessions and rates: bound to the allow-list, in time and in number."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.bus.allow_list import CLIENTS_FILE, load_allow_list
from monitor.bus.keys import add_client, add_token, make_server_keys, remove_client, token_digest
from monitor.errors import ConfigError
from monitor.web.rates import Buckets
from monitor.web.sessions import SESSION_S, Sessions
from monitor.web.tokens import Tokens


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_server_keys(tmp_path / "keys")
    return tmp_path / "keys"


def test_a_token_is_kept_as_its_hash_only(folder: Path) -> None:
    token = add_token(folder, "anna", "viewer")
    assert len(token) == 43  # 256 bits in base64url
    (person,) = load_allow_list(folder).web
    assert person.token == token_digest(token)
    assert all(token not in path.read_text() for path in folder.iterdir())


def test_a_name_is_one_client_or_one_person(folder: Path) -> None:
    add_client(folder, "desk", "operator")
    add_token(folder, "anna", "viewer")
    with pytest.raises(ConfigError, match="has a client desk already"):
        add_token(folder, "desk", "viewer")
    with pytest.raises(ConfigError, match="has a client anna already"):
        add_client(folder, "anna", "viewer")
    with pytest.raises(ConfigError, match="give a name of letters"):
        add_token(folder, "<script>", "viewer")
    with pytest.raises(ConfigError, match="not server, screen, web-server"):
        add_token(folder, "web-server", "viewer")
    remove_client(folder, "anna")
    assert load_allow_list(folder).names == ("desk",)
    assert (folder / "desk.key").exists()


def test_a_removed_token_is_no_token(folder: Path) -> None:
    clock, reports = Clock(), list[str]()
    token = token_digest(add_token(folder, "anna", "viewer"))
    tokens = Tokens(folder, reports.append, clock)
    assert tokens.person(token) is not None
    remove_client(folder, "anna")
    clock.now_s += 0.5
    assert tokens.person(token) is None
    assert reports == []


def test_a_damaged_list_changes_nothing_and_is_reported_once(folder: Path) -> None:
    clock, reports = Clock(), list[str]()
    token = token_digest(add_token(folder, "anna", "viewer"))
    tokens = Tokens(folder, reports.append, clock)
    (folder / CLIENTS_FILE).write_text("[[web")
    for _ in range(3):
        clock.now_s += 0.5
        assert tokens.person(token) is not None
    assert len(reports) == 1
    assert "tokens in force are unchanged" in reports[0]


def test_a_session_ends_with_its_time_and_with_its_token(folder: Path) -> None:
    clock = Clock()
    anna, bert = (token_digest(add_token(folder, name, "viewer")) for name in ("anna", "bert"))
    sessions = Sessions(Tokens(folder, [].append, clock).person, clock)
    first, second = sessions.open(anna), sessions.open(bert)
    assert first != second
    assert sessions.person("made up") is None
    remove_client(folder, "anna")
    clock.now_s += 0.5
    assert sessions.person(first) is None
    assert sessions.person(second) is not None
    clock.now_s += SESSION_S
    assert sessions.person(second) is None


def test_sessions_are_bounded(folder: Path) -> None:
    clock = Clock()
    digest = token_digest(add_token(folder, "anna", "viewer"))
    sessions = Sessions(Tokens(folder, [].append, clock).person, clock)
    ids = [sessions.open(digest) for _ in range(100)]
    valid = [session_id for session_id in ids if sessions.person(session_id) is not None]
    assert valid == ids[-20:]


def test_buckets_are_separate_and_bounded() -> None:
    buckets = Buckets(1.0, 1.0, Clock(), size=2)
    assert [buckets.take(key) for key in "aabb"] == [0.0, 1.0, 0.0, 1.0]
    buckets.take("c")  # a is forgotten
    assert len(buckets._buckets) == 2
