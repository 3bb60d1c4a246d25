"""A client that does not read in time: ZeroMQ drops messages, the journal gives them back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from monitor.bus import sockets
from monitor.messages import HEARTBEAT_TOPIC, AlarmMessage, BeatMessage, bed_topic
from tests import ROOT
from tests.monitor.bus.helpers import BusProcess, alarm, beat, connect, heartbeat, join, make_bus, of, pump, wait_for

ALARMS = bed_topic("p1", "alarm")
BEATS = bed_topic("p1", "beat")


def test_messages_that_zeromq_drops_are_recovered_once_and_in_order(monkeypatch, closing):
    """Short queues and long texts fill the buffers of the system within a second.

    A client that does not read for longer than its ping timeout makes libzmq 4.3.5 abort (zeromq/libzmq#3937).
    """
    monkeypatch.setattr(sockets, "ALARM_HWM", 100)
    bus = make_bus()
    client = closing(connect(bus, receive_hwm=5))
    (got,) = join(bus, client)
    n = 4_000  # 16 MB
    for seq in range(1, n + 1):
        message = alarm(seq)
        bus.publish(ALARMS, replace(message, alarm=replace(message.alarm, text="x" * 4000)))
        if seq % 4 == 0:
            bus.publish(BEATS, beat(seq))

    def all_here() -> bool:
        bus.heartbeat(heartbeat())  # may be dropped too; the next one repeats its content
        return sum(topic != HEARTBEAT_TOPIC for topic, _, _ in got) >= n + n // 4

    pump(bus, client, until=all_here, got=[got], what="all messages")
    assert [body.seq for _, body, _ in of(got, AlarmMessage)] == list(range(1, n + 1))
    assert [body.seq for _, body, _ in of(got, BeatMessage)] == list(range(1, n // 4 + 1))
    assert client.recovered > 0, "no message was dropped, so the test proves nothing"
    assert client.missed == 0
    bus.close()


DOES_NOT_POLL = """
import sys
from monitor.client import sockets
from monitor.client.client import AlarmClient
from monitor.messages import BeatMessage

def memory_mb():
    fields = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(fields["VmHWM"].split()[0]) / 1024

client = AlarmClient(*sys.argv[1:3], patience_s=60.0)
seqs = []

def read(count):
    while len(seqs) < count:
        seqs.extend(body.seq for _, body, _ in client.poll(0.1) if isinstance(body, BeatMessage))

read(1)
before_mb = memory_mb()
print("joined", flush=True)
sys.stdin.readline()
after_mb = memory_mb()
read(int(sys.argv[3]))
assert seqs == list(range(1, len(seqs) + 1)), "not each once and in order"
print(after_mb - before_mb, client.recovered, client.missed, flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_client_that_does_not_poll_uses_bounded_memory_and_recovers(tmp_path):
    n = 80_000  # more than the queues of both sides and the buffers of the system hold
    process = BusProcess(tmp_path / "j.db", "run-1")
    ends = process.endpoints
    client = subprocess.Popen(
        [sys.executable, "-c", DOES_NOT_POLL, ends.alarms, ends.control, str(n)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        process.execute("beat 1")
        process.execute("heartbeat")
        assert client.stdout is not None
        assert client.stdout.readline() == "joined\n"
        process.execute(f"beat {n - 1}")
        assert client.stdin is not None
        client.stdin.write("go\n")
        client.stdin.flush()
        # A heartbeat shows the last missing message; the first heartbeat was dropped too.
        wait_for(lambda: client.poll() is not None, "the other beats", lambda: process.execute("heartbeat"))
        grown_mb, recovered, missed = client.stdout.read().split()
        # 10,000 messages are about 10 MB, but each may hold the 8 kB buffer that libzmq read it with.
        assert float(grown_mb) < 120.0
        assert int(recovered) > 0, "no message was dropped, so the test proves nothing"
        assert missed == "0"
    finally:
        client.kill()
        client.communicate()
        process.kill()
