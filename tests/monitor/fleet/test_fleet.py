"""A fleet on Ray, with several machines of a cluster on this one: what is killed, what joins, what leaves."""

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
from monitor.fleet.engine import Engine
from monitor.fleet.fleet import Fleet
from monitor.messages import AlarmMessage, BeatMessage, EventMessage, Request, StatusMessage
from tests.monitor.commands.helpers import COMMAND, FREE_BUS, ecg_monitor, environment
from tests.monitor.fleet.helpers import Subscriber, as_told, fleet_config, gaps, patients, undisturbed, until

FS_HZ = 250
SPEED = 6.0
BEDS = 6
QUIET = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}

# Ray leaves sockets and threads of its own to the end of the process.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


class Watched:
    """A fleet, driven by this thread, and a subscriber that was there from the beginning."""

    def __init__(self, cluster: Any, folder: Path) -> None:
        self.cluster = cluster
        self.config = fleet_config(SPEED)
        self.plans: list[BedPlan] = patients(self.config, BEDS)
        self.told: list[str] = []
        self.engine = Engine(cluster.address)
        self.fleet = Fleet(self.engine, self.plans, self.config, folder, shards=BEDS, tell=self.told.append)
        self.until(lambda: self.fleet.endpoints is not None, "the hub")
        ends = self.fleet.endpoints
        assert ends is not None
        # What comes later listens where the first one did.
        self.seen = Subscriber(ends.alarms, ends.control)

    def turn(self) -> None:
        self.fleet.turn()
        if hasattr(self, "seen"):
            self.seen.poll(0.05)
        else:
            time.sleep(0.05)

    def until(self, condition, what: str) -> None:
        until(condition, f"{what}; {self.told[-5:] if self.told else ''}", self.turn)

    def all_run(self) -> bool:
        return sum(len(shards) for _, _, shards in self.fleet.workers.values()) == BEDS

    def on(self, beds: set[str], beats: int) -> None:
        """Until each of these beds has so many further beats."""
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
        self.fleet._end()
        self.seen.client.close()
        self.engine.close()


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
    """On two machines."""
    cluster.add_node(**QUIET)
    watched = Watched(cluster, tmp_path)
    yield watched
    watched.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_is_killed_goes_on_and_what_is_not_never_notices(cluster, watched, tmp_path):
    beds = {plan.name for plan in watched.plans}
    watched.until(watched.all_run, "all shards")
    workers = watched.fleet.workers
    assert sorted(len(shards) for _, _, shards in workers.values()) == [BEDS // 2, BEDS // 2], watched.told
    watched.until(
        lambda: all(any(a.alarm.kind == "asystole" for a in watched.seen.of(AlarmMessage, bed)) for bed in beds),
        "an asystole on every bed",
    )

    # A worker is killed: its beds go on with their alarms.
    victim, (pid, _, shards) = next(iter(workers.items()))
    hit = {bed for name in shards for bed in watched.fleet._shards[name].link.beds}
    asystole = {bed: last_of(watched.seen, bed, "asystole") for bed in hit}
    acknowledged = sorted(hit)[0]
    watched.seen.client.request(Request("acknowledge", alarm_id=asystole[acknowledged].alarm_id, who="nurse 3"))
    watched.until(
        lambda: last_of(watched.seen, acknowledged, "asystole").state in ("acknowledged", "cleared"), "acknowledged"
    )
    os.kill(pid, signal.SIGKILL)
    watched.until(lambda: any("was lost" in line for line in watched.told), "the loss")
    watched.until(lambda: all(watched.resumed()[bed] for bed in hit), "the beds of the worker that was killed")
    assert {bed for bed, n in watched.resumed().items() if n} == hit, "no other bed has noticed"
    watched.until(lambda: victim in watched.fleet.workers and watched.all_run(), "the worker, started anew")
    watched.on(beds, 5)

    # A machine joins, and takes its share.
    moved_before = watched.resumed()
    node = cluster.add_node(**QUIET)
    watched.until(
        lambda: len(watched.fleet.workers) == 3
        and all(len(its) == 2 for _, _, its in watched.fleet.workers.values()),
        "the machine that joined",
    )  # fmt: skip
    watched.on(beds, 5)
    assert 0 < sum(n > moved_before[bed] for bed, n in watched.resumed().items()) <= 3, "few have moved"

    # It is gone again, without a word.
    cluster.remove_node(node, allow_graceful=False)
    watched.until(lambda: len(watched.fleet.workers) == 2 and watched.all_run(), "its shards elsewhere")
    watched.on(beds, 5)

    # The hub is killed: the subscriber goes on by itself.
    ports = watched.fleet.endpoints
    epoch = watched.seen.client.epoch
    os.kill(watched.fleet.hub_pid, signal.SIGKILL)
    watched.until(lambda: watched.fleet.endpoints is not None and any("hub was lost" in t for t in watched.told), "it")
    watched.until(lambda: watched.seen.client.epoch != epoch, "the hub, started anew")
    assert watched.fleet.endpoints == ports
    watched.on(beds, 20)
    watched.fleet._end()
    until(lambda: watched.seen.client.state == "ended", "the goodbye", watched.seen.poll)
    judge(watched, tmp_path)


def last_of(seen: Subscriber, bed: str, kind: str):
    return [a.alarm for a in seen.of(AlarmMessage, bed) if a.alarm.kind == kind][-1]


def judge(watched: Watched, folder: Path) -> None:
    """All that was seen, against a monitor to which nothing happened."""
    seen = watched.seen
    assert seen.client.missed == 0
    reached = {plan.name: max(b.r_sample for b in seen.of(BeatMessage, plan.name)) for plan in watched.plans}
    alone = undisturbed(watched.plans, watched.config, max(reached.values()) / FS_HZ, folder)
    untouched = [bed for bed, n in watched.resumed().items() if not n]
    assert untouched, "something must have gone on all the time"
    for bed, upto in reached.items():
        upto -= 5 * FS_HZ  # at its end a monitor tells of beats that are not complete
        expected = [b for b in alone[bed] if isinstance(b, BeatMessage) and b.r_sample <= upto]
        beats = list(dict.fromkeys(as_told(b) for b in seen.of(BeatMessage, bed) if b.r_sample <= upto))
        if bed in untouched:
            assert beats == [as_told(b) for b in expected]
            alarms = [as_told(a) for a in alone[bed] if isinstance(a, AlarmMessage) and a.sample <= upto]
            told = dict.fromkeys(as_told(a) for a in seen.of(AlarmMessage, bed) if a.sample <= upto)
            again = {as_told(a) for a in seen.of(AlarmMessage, bed) if a.alarm.update} - set(alarms)
            assert [a for a in told if a not in again] == alarms
            continue
        holes = gaps(seen.of(EventMessage, bed))
        assert len(holes) == watched.resumed()[bed], "each gap is told, and nothing else is one"
        starts = [None, *(end for _, end in holes)]
        ends = [*(first for first, _ in holes), upto]
        for start, end in zip(starts, ends, strict=True):
            judge_stretch(watched, bed, start, end, folder)
        # No alarm is forgotten: each has gone from state to state, and none began twice without an end.
        states: dict[str, str] = {}
        for message in seen.of(AlarmMessage, bed):
            alarm, before = message.alarm, states.get(message.alarm.alarm_id)
            assert not alarm.update or before == alarm.state or before is None
            assert alarm.update or alarm.state in LEGAL[before], (alarm, before)
            states[alarm.alarm_id] = alarm.state
        assert all(s.samples_lost >= 0 for s in seen.of(StatusMessage, bed))


def judge_stretch(watched: Watched, bed: str, start: int | None, end: int, folder: Path) -> None:
    """Between two gaps a bed says of its beats what a monitor says that begins there, to the last digit."""
    plan = next(plan for plan in watched.plans if plan.name == bed)
    if start is not None:
        plan = BedPlan(bed, msgspec.structs.replace(plan.source, start_s=start / FS_HZ))
    began = start or 0
    alone = undisturbed([plan], watched.config, end / FS_HZ, folder)[bed]
    expected = {b.r_sample: as_told(b) for b in alone if isinstance(b, BeatMessage) and b.r_sample < end}
    had = {b.r_sample: as_told(b) for b in watched.seen.of(BeatMessage, bed) if began <= b.r_sample < end}
    # What was held back when it was moved was told as what is known of the end of a signal.
    sure = end - 3 * FS_HZ
    assert {r: b for r, b in had.items() if r < sure} == {r: b for r, b in expected.items() if r < sure}
    assert len(had) >= len(expected), f"{bed}: beats before the gap at {end} that nobody told"


LEGAL = {
    None: {"onset"},
    "onset": {"latched", "acknowledged", "cleared"},
    "latched": {"onset", "cleared"},
    "acknowledged": {"cleared"},
    "cleared": {"onset"},
}


def of_ours(mark: str) -> list[int]:
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
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_ctrl_c_ends_all_of_it_in_order_and_leaves_no_process(tmp_path):
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
        # The other two ports are any that are free: a subscriber to the alarms alone needs no more.
        import zmq

        context = zmq.Context()
        sub = context.socket(zmq.SUB)
        sub.connect(ends.alarms)
        sub.subscribe("v1/b0002/beat/")
        assert sub.poll(100_000), "a beat"
        assert len(list(tmp_path.glob("*/s*.sqlite"))) == 1, "where no machine can join, one shard a core"
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(60) == 0, rest
        assert "Traceback" not in "".join(lines) + rest
        context.destroy(linger=0)
        until(lambda: not of_ours(mark), f"the end of {of_ours(mark)}", lambda: time.sleep(0.1))
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


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
        (("--speed", "0"), "a fleet keeps a pace"),
        (("--source", "mitdb:*"), "say how many beds"),
        (("--beds", "nowhere.toml"), "beds nowhere.toml"),
        (("--beds-count", "2", "--address", "127.0.0.1:1"), "no Ray cluster there"),
        (("--beds-count", "2", "--address", "ward:x"), "no Ray cluster there"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, words):
    done = ecg_monitor("fleet", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
