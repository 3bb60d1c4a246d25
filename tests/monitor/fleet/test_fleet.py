"""A fleet on Ray, with several machines simulated on this one: kills, machines that join and leave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.bus.endpoints import endpoints_from
from monitor.engine.bed_plan import BedPlan
from monitor.fleet.fleet import Fleet
from monitor.fleet.ray_cluster import RayCluster
from monitor.messages import AlarmMessage, BeatMessage, EventMessage, Request, StatusMessage
from tests.monitor.alarms.helpers import LEGAL_STATES
from tests.monitor.commands.helpers import COMMAND, FREE_BUS, ecg_monitor, environment
from tests.monitor.fleet.helpers import Subscriber, comparable, fleet_config, gaps, patients, undisturbed, until

FS_HZ = 250
SPEED = 6.0
BEDS = 6
QUIET = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}

# Ray closes its sockets and threads only when the process ends.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


class Watched:
    """A fleet that this thread runs, and a subscriber from the beginning."""

    def __init__(self, cluster: Any, folder: Path) -> None:
        self.cluster = cluster
        self.config = fleet_config(SPEED)
        self.plans: list[BedPlan] = patients(self.config, BEDS)
        self.lines: list[str] = []
        self.cluster_client = RayCluster(cluster.address)
        self.fleet = Fleet(self.cluster_client, self.plans, self.config, folder, shards=BEDS, report=self.lines.append)
        self.until(lambda: self.fleet.hub.endpoints is not None, "the hub")
        ends = self.fleet.hub.endpoints
        assert ends is not None
        # A later hub listens at the same endpoints.
        self.seen = Subscriber(ends.alarms, ends.control)

    def turn(self) -> None:
        self.fleet.turn()
        if hasattr(self, "seen"):
            self.seen.poll(0.05)
        else:
            time.sleep(0.05)

    def until(self, condition, what: str) -> None:
        until(condition, f"{what}; {self.lines[-5:]}", self.turn)

    @property
    def running(self) -> dict[str, list[str]]:
        """Worker -> beds of its running shards; shard s001 has bed b1, and so on."""
        workers = self.fleet.workers
        return {
            name: [f"b{int(s[1:])}" for s, report in workers.all[name].shards.items() if report.state == "running"]
            for name in workers.ready
        }

    def all_run(self) -> bool:
        return sum(map(len, self.running.values())) == BEDS

    def further_beats(self, beds: set[str], beats: int) -> None:
        """Run until each of these beds has this many more beats."""
        before = {bed: len(self.seen.of(BeatMessage, bed)) for bed in beds}
        self.until(
            lambda: all(len(self.seen.of(BeatMessage, bed)) >= n + beats for bed, n in before.items()), "further beats"
        )

    def resumed(self) -> dict[str, int]:
        return {
            plan.name: sum(e.kind == "bed_resumed" for e in self.seen.of(EventMessage, plan.name))
            for plan in self.plans
        }

    def close(self) -> None:
        self.fleet.close()
        self.seen.client.close()
        self.cluster_client.close()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=QUIET)
    yield cluster
    import ray

    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def watched(cluster: Any, tmp_path: Path) -> Iterator[Watched]:
    """A fleet on two machines."""
    cluster.add_node(**QUIET)
    watched = Watched(cluster, tmp_path)
    yield watched
    watched.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_parts_continue_and_the_others_are_not_disturbed(cluster, watched, tmp_path):
    beds = {plan.name for plan in watched.plans}
    watched.until(watched.all_run, "all shards")
    running = watched.running
    assert sorted(map(len, running.values())) == [BEDS // 2, BEDS // 2], watched.lines
    watched.until(
        lambda: all(any(a.alarm.kind == "asystole" for a in watched.seen.of(AlarmMessage, bed)) for bed in beds),
        "an asystole on every bed",
    )

    # A worker is killed: its beds continue with their alarms.
    victim = next(iter(running))
    hit = set(running[victim])
    asystole = {bed: last_of(watched.seen, bed, "asystole") for bed in hit}
    acknowledged = sorted(hit)[0]
    watched.seen.client.request(Request("acknowledge", alarm_id=asystole[acknowledged].alarm_id, who="nurse 3"))
    watched.until(
        lambda: last_of(watched.seen, acknowledged, "asystole").state in ("acknowledged", "cleared"), "acknowledged"
    )
    os.kill(watched.fleet.workers.all[victim].pid, signal.SIGKILL)
    watched.until(lambda: any("was lost" in line for line in watched.lines), "the loss")
    watched.until(lambda: all(watched.resumed()[bed] for bed in hit), "the beds of the worker that was killed")
    assert {bed for bed, n in watched.resumed().items() if n} == hit, "no other bed was disturbed"
    watched.until(lambda: victim in watched.running and watched.all_run(), "the restarted worker")
    watched.further_beats(beds, 5)

    # A machine joins and takes its share.
    moved_before = watched.resumed()
    lost_before = sum("was lost" in line for line in watched.lines)
    node = cluster.add_node(**QUIET)
    watched.until(lambda: sorted(map(len, watched.running.values())) == [BEDS // 3] * 3, "the machine that joined")

    def moved() -> int:
        return sum(n > moved_before[bed] for bed, n in watched.resumed().items())

    watched.until(moved, "the beds that move to it")
    watched.further_beats(beds, 5)
    lost = sum("was lost" in line for line in watched.lines) - lost_before  # a busy machine may lose a worker as well
    assert moved() <= 3 or lost, "few have moved"

    # It is killed.
    cluster.remove_node(node, allow_graceful=False)
    watched.until(lambda: len(watched.running) == 2 and watched.all_run(), "its shards on the others")
    watched.further_beats(beds, 5)

    # The hub is killed: the subscriber reconnects by itself.
    ports = watched.fleet.hub.endpoints
    epoch = watched.seen.client.epoch
    os.kill(watched.fleet.hub.state.pid, signal.SIGKILL)
    watched.until(lambda: any("hub was lost" in line for line in watched.lines), "the loss of the hub")
    watched.until(lambda: watched.seen.client.epoch != epoch, "the restarted hub")
    assert watched.fleet.hub.endpoints == ports
    watched.further_beats(beds, 20)
    watched.fleet.close()
    until(lambda: watched.seen.client.state == "ended", "the goodbye", watched.seen.poll)
    check(watched, tmp_path)


def last_of(seen: Subscriber, bed: str, kind: str):
    return [a.alarm for a in seen.of(AlarmMessage, bed) if a.alarm.kind == kind][-1]


def check(watched: Watched, folder: Path) -> None:
    """Compare all received messages with those of one undisturbed monitor."""
    seen = watched.seen
    assert seen.client.missed == 0
    reached = {plan.name: max(b.r_sample for b in seen.of(BeatMessage, plan.name)) for plan in watched.plans}
    alone = undisturbed(watched.plans, watched.config, max(reached.values()) / FS_HZ, folder)
    untouched = [bed for bed, n in watched.resumed().items() if not n]
    assert untouched, "no bed ran all the time"
    for bed, last in reached.items():
        last -= 5 * FS_HZ  # at its end a monitor publishes incomplete beats
        expected = [b for b in alone[bed] if isinstance(b, BeatMessage) and b.r_sample <= last]
        beats = list(dict.fromkeys(comparable(b) for b in seen.of(BeatMessage, bed) if b.r_sample <= last))
        if bed in untouched:
            assert beats == [comparable(b) for b in expected]
            alarms = [comparable(a) for a in alone[bed] if isinstance(a, AlarmMessage) and a.sample <= last]
            published = dict.fromkeys(comparable(a) for a in seen.of(AlarmMessage, bed) if a.sample <= last)
            repeated = {comparable(a) for a in seen.of(AlarmMessage, bed) if a.alarm.update} - set(alarms)
            assert [a for a in published if a not in repeated] == alarms
            continue
        holes = gaps(seen.of(EventMessage, bed))
        assert len(holes) == watched.resumed()[bed], "one gap for each move"
        starts = [None, *(end for _, end in holes)]
        ends = [*(first for first, _ in holes), last]
        for start, end in zip(starts, ends, strict=True):
            check_stretch(watched, bed, start, end, folder)
        # Each alarm goes through legal states, and none begins twice without an end.
        states: dict[str, str] = {}
        for message in seen.of(AlarmMessage, bed):
            alarm, before = message.alarm, states.get(message.alarm.alarm_id)
            assert not alarm.update or before == alarm.state or before is None
            assert alarm.update or alarm.state in LEGAL_STATES[before], (alarm, before)
            states[alarm.alarm_id] = alarm.state
        assert all(s.samples_lost >= 0 for s in seen.of(StatusMessage, bed))


def check_stretch(watched: Watched, bed: str, start: int | None, end: int, folder: Path) -> None:
    """Between two gaps the beats are those of a monitor that starts there, to the last digit."""
    plan = next(plan for plan in watched.plans if plan.name == bed)
    if start is not None:
        plan = BedPlan(bed, msgspec.structs.replace(plan.source, start_s=start / FS_HZ))
    first = start or 0
    alone = undisturbed([plan], watched.config, end / FS_HZ, folder)[bed]
    expected = {b.r_sample: comparable(b) for b in alone if isinstance(b, BeatMessage) and b.r_sample < end}
    received = {b.r_sample: comparable(b) for b in watched.seen.of(BeatMessage, bed) if first <= b.r_sample < end}
    # A move publishes the last beats as at the end of a signal, with less evidence.
    sure = end - 3 * FS_HZ
    assert {r: b for r, b in received.items() if r < sure} == {r: b for r, b in expected.items() if r < sure}
    assert len(received) >= len(expected), f"{bed}: beats before the gap at {end} are missing"


def processes_with(mark: str) -> list[int]:
    """Processes that have a word in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if (
                    mark.encode() in (entry / "environ").read_bytes()
                    and "Z" not in ((entry / "stat").read_text().rpartition(")")[2].split()[:1])
                ):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ctrl_c_ends_the_fleet_in_order_and_leaves_no_process(tmp_path):
    mark = uuid.uuid4().hex
    beds = ("--source", "sim", "--beds-count", "3")
    process = subprocess.Popen(
        [*COMMAND, "fleet", *beds, "--cores", "1", "--folder", str(tmp_path), *FREE_BUS],
        stderr=subprocess.PIPE, text=True, env=environment(ECG_TEST_MARK=mark), stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        lines: list[str] = []
        while not any("listening on" in line for line in lines):
            lines.append(process.stderr.readline())
            assert lines[-1], lines
        address = next(line.split()[-1] for line in lines if "listening on" in line)
        ends = endpoints_from(address)
        import zmq

        context = zmq.Context()
        sub = context.socket(zmq.SUB)
        sub.connect(ends.alarms)
        sub.subscribe("v1/b0002/beat/")
        assert sub.poll(100_000), "a beat"
        assert len(list(tmp_path.glob("*/s*.sqlite"))) == 1, "one shard per core where no machine can join"
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(60) == 0, rest
        assert "Traceback" not in "".join(lines) + rest
        context.destroy(linger=0)
        until(lambda: not processes_with(mark), f"the end of {processes_with(mark)}", lambda: time.sleep(0.1))
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.slow
def test_without_ray_one_line_names_the_extra():
    code = (
        "import sys; sys.modules['ray'] = None; sys.argv[1:] = ['fleet', '--beds-count', '2']; "
        "from monitor.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment(), check=False
    )
    assert done.returncode == 2
    assert done.stderr.strip() == "ecg-monitor: fleet needs Ray: python -m pip install 'ecg-monitor[cluster]'"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(("--speed", "max"), "a fleet keeps a pace"),
        pytest.param(("--source", "mitdb:*"), "give the number of beds", marks=pytest.mark.slow),
        pytest.param(("--beds", "nowhere.toml"), "beds nowhere.toml", marks=pytest.mark.slow),
        pytest.param(("--beds-count", "2", "--address", "127.0.0.1:1"), "no Ray cluster there", marks=pytest.mark.slow),
        pytest.param(("--beds-count", "2", "--address", "ward:x"), "no Ray cluster there", marks=pytest.mark.slow),
    ],
)
def test_a_wrong_option_is_one_line(arguments, words):
    done = ecg_monitor("fleet", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
