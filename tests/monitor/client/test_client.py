from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zmq

from monitor.bus.endpoints import endpoints_from
from monitor.client.client import AlarmClient, wave_samples
from monitor.errors import ClientError
from monitor.journal import Journal
from monitor.messages import (
    HEARTBEAT_TOPIC,
    AlarmMessage,
    BeatMessage,
    HeartbeatMessage,
    Reply,
    Request,
    StatusMessage,
    WaveHeader,
    bed_topic,
)
from tests.monitor.bus.helpers import (
    BusProcess,
    alarm,
    beat,
    connect,
    heartbeat,
    join,
    make_bus,
    of,
    pump,
    serve,
    status,
    wait_for,
)

ROOT = Path(__file__).parents[3]
ALARMS = bed_topic("p1", "alarm")
BEATS = bed_topic("p1", "beat")


@pytest.fixture
def bus():
    bus = make_bus()
    yield bus
    bus.close()


@pytest.fixture
def closing():
    with contextlib.ExitStack() as stack:
        yield lambda client: stack.enter_context(contextlib.closing(client))


def free_port() -> int:
    """A port with two free ones after it, for a monitor that comes back to the same place."""
    while True:
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                for step in (1, 2):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port + step))
            except OSError:
                continue
            return port


def test_a_late_client_gets_what_is_current_then_what_comes(bus, closing):
    bus.publish(ALARMS, alarm(1))
    bus.publish(ALARMS, alarm(2))
    bus.publish(ALARMS, alarm(1, "cleared"))
    bus.publish(BEATS, beat(1))
    last_beat = bus.publish(BEATS, beat(2))
    client = closing(connect(bus))
    (got,) = join(bus, client)
    bus.publish(ALARMS, alarm(3))
    pump(bus, client, until=lambda: len(of(got, AlarmMessage)) >= 2, got=[got], what="alarms")
    assert [body.alarm.onset_sample for _, body, _ in of(got, AlarmMessage)] == [2, 3]
    assert of(got, BeatMessage) == [(BEATS, last_beat.body, last_beat.raw)]
    assert client.missed == client.recovered == 0
    assert client.epoch == "run-1"


def test_what_is_published_while_it_joins_comes_once(bus, closing):
    """Alarms all the way through connecting, subscribing and the snapshot: each at most once, in order, no hole."""
    client = closing(connect(bus))
    got: list = []
    sent = 0

    def publish_more() -> bool:
        nonlocal sent
        if not client.counters["snapshots"] or sent < 50:
            sent += 1
            bus.publish(ALARMS, alarm(sent))
            bus.heartbeat(heartbeat())
            return False
        return any(body.seq == sent for _, body, _ in of(got, AlarmMessage))

    pump(bus, client, until=publish_more, got=[got], what="last alarm")
    assert [body.seq for _, body, _ in of(got, AlarmMessage)] == list(range(1, sent + 1))  # none was cleared


def test_a_burst_that_zeromq_drops_is_recovered_once_and_in_order(bus, closing):
    client = closing(connect(bus, receive_hwm=5))
    (got,) = join(bus, client)
    n = 30_000  # more than all queues between hold
    for seq in range(1, n + 1):
        bus.publish(ALARMS, alarm(seq))
        if seq % 3 == 0:
            bus.publish(BEATS, beat(seq))

    def all_here() -> bool:
        bus.heartbeat(heartbeat())  # may be dropped like anything else; the next tells the same
        return sum(topic != HEARTBEAT_TOPIC for topic, _, _ in got) >= n + n // 3

    pump(bus, client, until=all_here, got=[got], what="everything")
    assert [body.seq for _, body, _ in of(got, AlarmMessage)] == list(range(1, n + 1))
    assert [body.seq for _, body, _ in of(got, BeatMessage)] == list(range(1, n // 3 + 1))
    assert client.recovered > 0, "nothing was dropped: the test proves nothing"
    assert client.missed == 0


def test_a_hole_in_a_silent_topic_shows_in_the_heartbeat(bus, closing):
    client = closing(connect(bus))
    (got,) = join(bus, client)
    bus._alarms.unbind(bus.endpoints.alarms)  # the alarm socket is away, as in a network that fails
    wire = client._sub
    wire.disconnect(bus.endpoints.alarms)
    lost = bus.publish(ALARMS, alarm(1))

    def bound():  # ZeroMQ lets go of the port in a thread of its own
        try:
            bus._alarms.bind(bus.endpoints.alarms)
        except zmq.ZMQError:
            return False
        return True

    wait_for(bound, "the port")
    wire.connect(bus.endpoints.alarms)
    bus._last.keep(ALARMS, alarm(1, state="cleared"), b"")  # so that being greeted anew does not help
    bus.heartbeat(heartbeat())
    pump(bus, client, until=lambda: of(got, AlarmMessage), got=[got], what="the alarm")
    assert of(got, AlarmMessage) == [(ALARMS, lost.body, lost.raw)]
    assert client.recovered == 1


def test_beds_and_streams_are_kept_apart(bus, closing):
    client = closing(connect(bus, beds=("p1",), streams=("alarm",)))
    everything = closing(connect(bus))
    got, all_of_it = join(bus, client, everything)
    for bed in ("p10", "p1", "p"):
        bus.publish(bed_topic(bed, "alarm"), alarm(1, bed=bed))
        bus.publish(bed_topic(bed, "beat"), beat(1, bed=bed))
        bus.publish(bed_topic(bed, "status"), status(1, bed=bed))
    bus.heartbeat(heartbeat())
    pump(
        bus,
        client,
        everything,
        until=lambda: len(of(got, HeartbeatMessage)) >= 2 and len(of(all_of_it, HeartbeatMessage)) >= 2,
        got=[got, all_of_it],
        what="heartbeats",
    )
    assert {topic for topic, _, _ in got} == {ALARMS, HEARTBEAT_TOPIC}
    assert len(of(all_of_it, AlarmMessage)) == len(of(all_of_it, BeatMessage)) == len(of(all_of_it, StatusMessage)) == 3


def test_a_monitor_killed_and_started_anew_loses_nothing(tmp_path, closing):
    address = f"tcp://127.0.0.1:{free_port()}"
    process = BusProcess(tmp_path / "j.db", "run-1", address)
    try:
        ends = process.endpoints
        client = closing(AlarmClient(ends.alarms, ends.control, patience_s=30.0))
        other = closing(AlarmClient(ends.alarms, ends.control, patience_s=30.0, streams=("alarm",)))
        got: list = []
        others: list = []

        def alarms() -> int:
            return min(len(of(got, AlarmMessage)), len(of(others, AlarmMessage)))

        process.execute("heartbeat")
        both = [got, others]
        joined = [client.counters, other.counters]
        pump(None, client, other, until=lambda: all(c["snapshots"] for c in joined), got=both, what="joining")
        process.execute("alarm 5")
        pump(None, client, other, until=lambda: alarms() == 5, got=both, what="first alarms")
        process.execute("alarm 20")  # in the journal, but the client does not read before the monitor dies
        process.kill()
        process = BusProcess(tmp_path / "j.db", "run-2", address)
        process.execute("alarm 7")
        process.execute("heartbeat")
        pump(None, client, other, until=lambda: alarms() >= 32, got=both, what="all alarms")
        want = [("run-1", n) for n in range(1, 26)] + [("run-2", n) for n in range(1, 8)]
        assert [(body.epoch, body.seq) for _, body, _ in of(got, AlarmMessage)] == want
        assert [(body.epoch, body.seq) for _, body, _ in of(others, AlarmMessage)] == want
        assert client.epoch == "run-2"
        assert client.missed == other.missed == 0
    finally:
        process.kill()


def test_two_runs_missed_altogether_are_made_up(tmp_path, closing):
    endpoints = endpoints_from(f"ipc://{tmp_path}/ecg")
    journal = Journal(tmp_path / "j.db")
    bus = make_bus(journal, "run-1", endpoints)
    client = closing(connect(bus))
    (got,) = join(bus, client)
    for run in (2, 3, 4):
        bus.publish(ALARMS, alarm(run))
        bus.close()
        bus = make_bus(journal, f"run-{run}", endpoints)
    bus.heartbeat(heartbeat())
    pump(bus, client, until=lambda: len(of(got, AlarmMessage)) >= 3, got=[got], what="alarms of all runs")
    assert [body.epoch for _, body, _ in of(got, AlarmMessage)] == ["run-1", "run-2", "run-3"]
    bus.close()
    journal.close()


def test_without_a_journal_on_disk_the_loss_is_counted_and_the_new_run_followed(tmp_path, closing):
    endpoints = endpoints_from(f"ipc://{tmp_path}/ecg")
    bus = make_bus(Journal(":memory:"), "run-1", endpoints)
    client = closing(connect(bus))
    bus.publish(ALARMS, alarm(1))
    (got,) = join(bus, client)
    bus.close()
    bus = make_bus(Journal(":memory:"), "run-2", endpoints)
    bus.publish(ALARMS, alarm(2))
    bus.publish(ALARMS, alarm(3))
    bus.heartbeat(heartbeat())
    pump(bus, client, until=lambda: client.counters["incomplete"] >= 3, got=[got], what="answers")
    assert [(body.epoch, body.seq) for _, body, _ in of(got, AlarmMessage)] == [
        ("run-1", 1),
        ("run-2", 1),
        ("run-2", 2),
    ]
    assert client.counters["incomplete"] == 3  # one answer each for alarms, beats and status
    bus.close()


def test_without_the_control_socket_alarms_still_come(closing):
    """A firewall or tunnel that lets only the alarms through must not keep them back."""
    bus = make_bus()
    bus.publish(ALARMS, alarm(1))
    bus.publish(ALARMS, alarm(2))
    bus.publish(ALARMS, alarm(1, "cleared"))
    bus.heartbeat(heartbeat())
    now = [0.0]
    client = closing(
        AlarmClient(bus.endpoints.alarms, f"tcp://127.0.0.1:{free_port()}", clock=lambda: now[0], patience_s=3.0)
    )
    got: list = []
    pump(bus, client, until=lambda: of(got, HeartbeatMessage), got=[got], what="heartbeat")
    assert not of(got, AlarmMessage)

    def after_a_while() -> bool:  # of looking, not of being stopped
        now[0] += 0.5
        return bool(of(got, AlarmMessage))

    pump(bus, client, until=after_a_while, got=[got], what="the active alarm")
    bus.publish(ALARMS, alarm(4))
    pump(bus, client, until=lambda: len(of(got, AlarmMessage)) == 2, got=[got], what="a live alarm, at once")
    assert [body.seq for _, body, _ in of(got, AlarmMessage)] == [2, 4]
    bus._seqs[ALARMS] += 10  # a hole that nobody can fill
    bus.publish(ALARMS, alarm(5))
    bus.heartbeat(heartbeat())
    pump(bus, client, until=lambda: len(of(got, HeartbeatMessage)) == 2, got=[got], what="heartbeat")
    assert len(of(got, AlarmMessage)) == 2
    now[0] += 60.0  # stopped for a minute: that is no waiting
    got += client.poll()
    assert len(of(got, AlarmMessage)) == 2

    def after_the_hole() -> bool:
        now[0] += 0.5
        return len(of(got, AlarmMessage)) == 3

    pump(bus, client, until=after_the_hole, got=[got], what="alarm after the hole")
    assert client.missed == 10
    bus.close()


def test_state_follows_the_heartbeat(bus, closing):
    now = [100.0]
    client = closing(connect(bus, clock=lambda: now[0]))
    assert client.state == "connecting"
    assert client.silent_s is None
    now[0] += 5.0
    assert client.state == "lost"
    (got,) = join(bus, client)
    assert client.state == "connected"
    now[0] += 1.9
    assert client.state == "connected"
    now[0] += 0.1
    assert client.state == "stale"
    bus.publish(ALARMS, alarm(1))
    pump(bus, client, until=lambda: of(got, AlarmMessage), got=[got], what="alarm")
    assert client.state == "stale"  # only the heartbeat tells that the whole monitor lives
    now[0] += 3.0
    assert client.state == "lost"
    assert client.silent_s == pytest.approx(5.0)
    bus.heartbeat(heartbeat())
    pump(bus, client, until=lambda: client.state == "connected", got=[got], what="connection")
    bus.heartbeat(heartbeat("goodbye"))
    pump(bus, client, until=lambda: client.state == "ended", got=[got], what="goodbye")


def test_a_heartbeat_sent_again_for_a_newcomer_is_no_sign_of_life(bus, closing):
    now = [0.0]
    client = closing(connect(bus, clock=lambda: now[0]))
    (got,) = join(bus, client)
    now[0] += 3.0
    newcomer = closing(connect(bus))
    pump(bus, client, newcomer, until=lambda: newcomer.counters["snapshots"], got=[got, []], what="newcomer")
    pump(bus, client, until=lambda: client.counters["received"] >= 2, got=[got], what="duplicates")
    assert len(of(got, HeartbeatMessage)) == 1
    assert client.state == "stale"


def test_requests_are_answered_while_messages_are_kept(closing):
    process = BusProcess(":memory:", "run-1")
    try:
        client = closing(AlarmClient(process.endpoints.alarms, process.endpoints.control))
        reply = client.request(Request(op="ping"), 30.0)
        assert (reply.ok, reply.epoch) == (True, "run-1")
        process.execute("heartbeat")
        got: list = []
        pump(None, client, until=lambda: client.counters["snapshots"], got=[got], what="joining")
        process.execute("alarm 3")
        reply = client.request(Request(op="acknowledge", alarm_id="p1/asystole/1", who="nurse 3"), 30.0)
        assert reply.data == {"op": "acknowledge"}
        refused = client.request(Request(op="pause_audio", seconds=500.0), 30.0)
        assert not refused.ok
        assert "0 to 120" in refused.error
        pump(None, client, until=lambda: len(of(got, AlarmMessage)) == 3, got=[got], what="alarms")
    finally:
        process.kill()


def test_no_answer_is_one_line_and_nothing_takes_effect_later(closing):
    port = free_port()
    ends = endpoints_from(f"tcp://127.0.0.1:{port}")
    client = closing(AlarmClient(ends.alarms, ends.control))
    with pytest.raises(ClientError, match=f"no answer to 'acknowledge' from {ends.control} within 0.05 s") as error:
        client.request(Request(op="acknowledge", alarm_id="p1/asystole/1"), 0.05)
    assert "\n" not in str(error.value)
    bus = make_bus(endpoints=ends)
    asked: list = []
    got: list = []

    def turn() -> None:
        got.extend(client.poll(0.0))
        for request in bus.service(0.005):
            asked.append(request.request.op)
            request.reply(Reply(ok=True))

    bus.heartbeat(heartbeat())
    wait_for(lambda: of(got, HeartbeatMessage) and asked, "connection", turn)
    assert set(asked) == {"snapshot"}
    bus.close()


def test_a_connection_that_cannot_be_is_one_line():
    with pytest.raises(ClientError, match="cannot connect to nonsense"):
        AlarmClient("nonsense", "tcp://127.0.0.1:5558")


def test_waves_come_and_may_be_dropped(bus, closing):
    client = closing(connect(bus, waves_endpoint=bus.endpoints.waves))
    (got,) = join(bus, client)
    samples = np.arange(12, dtype=np.float32).reshape(2, 6)
    header = WaveHeader(bed="p1", first_sample=7, n=6, fs_hz=360.0)

    def arrived() -> bool:
        bus.publish_wave(header, samples)
        return bool(of(got, WaveHeader))

    pump(bus, client, until=arrived, got=[got], what="a wave")
    topic, body, raw = of(got, WaveHeader)[0]
    assert topic == bed_topic("p1", "wave")
    np.testing.assert_array_equal(wave_samples(body, raw), samples)
    for _ in range(5000):
        bus.publish_wave(header, samples)
    seen = len(of(got, WaveHeader))
    bus.publish(ALARMS, alarm(1))
    pump(bus, client, until=lambda: of(got, AlarmMessage), got=[got], what="alarm in a flood of waves")
    assert len(of(got, WaveHeader)) - seen < 5000
    assert client.missed == 0


def test_what_is_not_understood_is_counted_and_skipped(closing):
    context = zmq.Context()
    fake = context.socket(zmq.XPUB)
    fake.setsockopt(zmq.XPUB_VERBOSE, 1)
    port = fake.bind_to_random_port("tcp://127.0.0.1")
    client = closing(AlarmClient(f"tcp://127.0.0.1:{port}", f"tcp://127.0.0.1:{free_port()}"))
    wait_for(lambda: fake.poll(5), "subscription")
    for frames in (
        [b"v1/p1/alarm/"],
        [b"v1/p1/alarm/", b"{"],
        [b"v1/p1/beat/", b'{"schema": "beat/9"}'],
        [b"v1/\xff/beat/", b""],
    ):
        fake.send_multipart(frames)
    wait_for(lambda: client.counters["undecodable"] == 4, "four messages", lambda: client.poll(0.01))
    assert client.state == "connecting"
    context.destroy(linger=0)


def test_ipc_works_like_tcp(tmp_path: Path, closing):
    bus = make_bus(endpoints=endpoints_from(f"ipc://{tmp_path}/ecg"))
    client = closing(connect(bus))
    (got,) = join(bus, client)
    bus.publish(ALARMS, alarm(1))
    pump(bus, client, until=lambda: of(got, AlarmMessage), got=[got], what="alarm")
    bus.close()


def test_a_restart_while_joining_begins_with_the_new_run(tmp_path, closing):
    endpoints = endpoints_from(f"ipc://{tmp_path}/ecg")
    bus = make_bus(Journal(":memory:"), "run-1", endpoints)
    client = closing(connect(bus))
    bus.publish(ALARMS, alarm(1))
    bus.heartbeat(heartbeat())
    got: list = []

    def turn_without_answer() -> None:
        bus.service(0.002)
        got.extend(client.poll(0.0))

    wait_for(lambda: client.epoch == "run-1", "first message", turn_without_answer)
    bus.close()
    bus = make_bus(Journal(":memory:"), "run-2", endpoints)
    bus.publish(ALARMS, alarm(9))
    bus.heartbeat(heartbeat())
    pump(bus, client, until=lambda: of(got, AlarmMessage), got=[got], what="alarm of the new run")
    assert [(body.epoch, body.alarm.onset_sample) for _, body, _ in of(got, AlarmMessage)] == [("run-2", 9)]
    serve(bus)
    bus.close()


def test_a_kind_of_message_we_do_not_know_does_not_spoil_the_snapshot(bus, closing):
    bus.publish(BEATS, beat(1))
    newer = b'{"schema":"beat/9","epoch":"run-1","seq":1}'  # as a newer monitor might say
    bus._last.keep(BEATS, beat(1), newer)
    active = bus.publish(ALARMS, alarm(1))
    client = closing(connect(bus))
    (got,) = join(bus, client)
    after = bus.publish(ALARMS, alarm(2))
    pump(bus, client, until=lambda: len(of(got, AlarmMessage)) == 2, got=[got], what="alarms")
    assert [raw for _, _, raw in of(got, AlarmMessage)] == [active.raw, after.raw]
    assert client.counters["undecodable"] >= 1


NEVER_POLLS = """
import sys
from monitor.client.client import AlarmClient
from monitor.messages import AlarmMessage

def memory_mb():
    fields = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(fields["VmHWM"].split()[0]) / 1024

client = AlarmClient(*sys.argv[1:3], patience_s=60.0)
seqs = []

def read(count):
    while len(seqs) < count:
        seqs.extend(body.seq for _, body, _ in client.poll(0.1) if isinstance(body, AlarmMessage))

read(1)
before_mb = memory_mb()
print("joined", flush=True)
sys.stdin.readline()
after_mb = memory_mb()
read(int(sys.argv[3]))
assert seqs == list(range(1, len(seqs) + 1)), "not each once and in order"
print(after_mb - before_mb, client.recovered, client.missed, flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is told by /proc")
def test_a_subscriber_that_never_polls_holds_a_bounded_queue_and_gets_the_rest_later(tmp_path):
    n = 40_000
    process = BusProcess(tmp_path / "j.db", "run-1")
    ends = process.endpoints
    client = subprocess.Popen(
        [sys.executable, "-c", NEVER_POLLS, ends.alarms, ends.control, str(n)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        process.execute("alarm 1")
        process.execute("heartbeat")
        assert client.stdout is not None
        assert client.stdout.readline() == "joined\n"
        process.execute(f"alarm {n - 1}")
        assert client.stdin is not None
        client.stdin.write("go\n")
        client.stdin.flush()
        # It finds the end of the hole by a heartbeat; the first was dropped like what came before it.
        wait_for(lambda: client.poll() is not None, "the rest", lambda: process.execute("heartbeat"))
        grown_mb, recovered, missed = client.stdout.read().split()
        # 10,000 messages are some 10 MB; but each may hold the 8 kB that libzmq read it with.
        assert float(grown_mb) < 120.0
        assert int(recovered) > 0, "nothing was dropped: the test proves nothing"
        assert missed == "0"
    finally:
        client.kill()
        client.communicate()
        process.kill()


def some_wave(bus, bed, first):
    header = WaveHeader(sample=first, bed=bed, first_sample=first, n=10, fs_hz=360.0)
    bus.publish_wave(header, np.full((2, 10), 0.5, np.float32))


def test_a_client_that_looks_at_some_beds_has_the_waves_of_those_only(bus, closing):
    client = closing(connect(bus, waves_endpoint=bus.endpoints.waves, streams=("alarm", "status")))
    client.set_detail(("p1",))
    (got,) = join(bus, client)
    first = 0

    def publish() -> set[str]:
        nonlocal first
        for bed in ("p1", "p2", "p3"):
            some_wave(bus, bed, first)
        first += 10
        return {body.bed for _, body, _ in of(got, WaveHeader)}

    pump(bus, client, until=lambda: "p1" in publish(), got=[got], what="waves of p1")
    assert {body.bed for _, body, _ in of(got, WaveHeader)} == {"p1"}
    client.set_detail(("p2", "p3"))
    pump(bus, client, until=lambda: {"p2", "p3"} <= publish(), got=[got], what="waves of p2 and p3")
    got.clear()
    pump(bus, client, until=lambda: {"p2", "p3"} <= publish(), got=[got], what="more waves")
    assert {body.bed for _, body, _ in of(got, WaveHeader)} == {"p2", "p3"}


def test_a_bed_that_is_looked_at_closely_begins_with_its_last_beats_and_loses_none(bus, closing):
    for number in range(1, 101):
        bus.publish(bed_topic("p1", "beat"), beat(number, "p1"))
        bus.publish(bed_topic("p2", "beat"), beat(number, "p2"))
    client = closing(connect(bus, streams=("alarm", "status")))
    (got,) = join(bus, client)
    bus.publish(bed_topic("p1", "beat"), beat(101, "p1"))
    bus.publish(bed_topic("p1", "status"), status(1))
    pump(bus, client, until=lambda: of(got, StatusMessage), got=[got], what="the status")
    assert not of(got, BeatMessage)  # nobody looks closely

    client.set_detail((), ("p1",))
    bus.publish(bed_topic("p1", "beat"), beat(102, "p1"))
    bus.publish(bed_topic("p2", "beat"), beat(101, "p2"))
    pump(bus, client, until=lambda: any(body.r_sample == 102 for _, body, _ in of(got, BeatMessage)), got=[got],
         what="beats of p1")  # fmt: skip
    beats = [body for _, body, _ in of(got, BeatMessage)]
    assert {body.bed for body in beats} == {"p1"}
    assert [body.r_sample for body in beats] == list(range(103 - len(beats), 103))
    assert len(beats) >= 60
    assert client.missed == 0

    got.clear()
    client.set_detail((), ("p2",))
    bus.publish(bed_topic("p1", "beat"), beat(103, "p1"))
    bus.publish(bed_topic("p2", "beat"), beat(102, "p2"))
    pump(bus, client, until=lambda: any(body.r_sample == 102 for _, body, _ in of(got, BeatMessage)), got=[got],
         what="beats of p2")  # fmt: skip
    assert {body.bed for _, body, _ in of(got, BeatMessage)} == {"p2"}
    assert client.missed == 0


def test_beds_may_be_looked_at_before_there_is_a_monitor(bus, closing):
    for number in range(1, 11):
        bus.publish(bed_topic("p1", "beat"), beat(number, "p1"))
    client = closing(connect(bus, streams=("alarm", "status"), waves_endpoint=bus.endpoints.waves))
    client.set_detail(("p1",), ("p1",))
    (got,) = join(bus, client)
    pump(bus, client, until=lambda: len(of(got, BeatMessage)) >= 10, got=[got], what="beats")
    assert [body.r_sample for _, body, _ in of(got, BeatMessage)] == list(range(1, 11))
