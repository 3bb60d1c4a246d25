"""Endpoints: derived from one, refused, in use."""

from __future__ import annotations

import contextlib
import errno
import re
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.bus.endpoints import BusEndpoints, bind_error, endpoints_from
from monitor.errors import BusError, PortInUse
from monitor.journal import Journal
from tests.monitor.bus.helpers import ANY, BusProcess, make_bus


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_port_in_use_is_one_line_and_the_others_stay_free(which):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoints = ["tcp://127.0.0.1:*"] * 3
        endpoints[which] = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        journal = Journal(":memory:")
        with pytest.raises(PortInUse, match=re.escape(f"endpoint {endpoints[which]} is in use")) as error:
            make_bus(journal, endpoints=BusEndpoints(*endpoints))
        assert "\n" not in str(error.value)
        assert journal.epochs() == []
        make_bus(journal).close()


@pytest.mark.posix
def test_an_ipc_path_in_use_is_refused_and_the_path_of_a_dead_process_is_taken(tmp_path):
    endpoints = endpoints_from(f"ipc://{tmp_path}/ecg")
    process = BusProcess(":memory:", "run-1", endpoints.alarms)
    try:
        with pytest.raises(PortInUse, match="is in use"):
            make_bus(endpoints=endpoints)
    finally:
        process.kill()
    assert (tmp_path / "ecg").exists()
    bus = make_bus(endpoints=endpoints)
    assert bus.endpoints == endpoints
    bus.close()


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (errno.EADDRINUSE, PortInUse, "port 1 is in use by another program; give another"),
        (errno.EACCES, BusError, "port 1 is not permitted; give another"),
        (errno.EADDRNOTAVAIL, BusError, "port 1 is not an address of this machine; give another"),
        (errno.EINVAL, BusError, r"port 1 cannot be bound \(.*oh\); give another"),
        (None, BusError, r"port 1 cannot be bound \(oh\); give another"),
    ],
)
def test_a_failed_bind_is_explained_by_its_errno(code, kind, text):
    error = bind_error("port 1", OverflowError("oh") if code is None else OSError(code, "oh"), "give another")
    assert type(error) is kind
    assert re.fullmatch(text, str(error))


@pytest.mark.parametrize(
    "address", ["tcp://0.0.0.0:*", "tcp://*:5556", "tcp://192.0.2.1:5556", "tcp://eth0:5556", "tcp://[::]:5556"]
)
def test_without_keys_only_loopback_is_bound(address):
    with pytest.raises(BusError, match=r"without keys.*ecg-monitor keys new DIR.*loopback") as error:
        make_bus(endpoints=BusEndpoints(address, ANY, ANY))
    assert "\n" not in str(error.value)


def test_localhost_and_ipv6_are_loopback():
    make_bus(endpoints=endpoints_from("tcp://localhost:*")).close()
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            pytest.skip("no IPv6 on this machine")
        raise
    make_bus(endpoints=endpoints_from("tcp://[::1]:0")).close()


@pytest.mark.parametrize(
    ("given_endpoint", "waves", "control"),
    [
        ("tcp://bedside.example:65533", "tcp://bedside.example:65534", "tcp://bedside.example:65535"),
        ("tcp://[::1]:7000", "tcp://[::1]:7001", "tcp://[::1]:7002"),
        ("tcp://127.0.0.1:0", "tcp://127.0.0.1:*", "tcp://127.0.0.1:*"),
    ],
)
def test_endpoints_are_derived_from_one(given_endpoint, waves, control):
    endpoints = endpoints_from(given_endpoint)
    assert (endpoints.waves, endpoints.control) == (waves, control)


@pytest.mark.parametrize(
    "bad",
    ["", "127.0.0.1:5556", "tcp://", "tcp://127.0.0.1", "tcp://:5556", "tcp://h:x", "tcp://h:65534", "tcp://h:-1",
     "udp://h:5556", "tcp://a b:5556", "tcp://h:5556/x", "tcp://::1:5556", "ipc://", "tcp://h:٣", "http://h:5556"],
)  # fmt: skip
def test_an_invalid_endpoint_is_one_line(bad):
    with pytest.raises(BusError, match="endpoint") as error:
        endpoints_from(bad)
    assert "\n" not in str(error.value)


@given(st.text(max_size=40))
def test_any_text_is_an_endpoint_or_a_bus_error(text):
    with contextlib.suppress(BusError):
        endpoints_from("tcp://" + text)
