"""What goes wrong, one function each: start a monitor and a subscriber, break something, let it heal, judge."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from faulting.network import ForwarderNetwork, NamespaceNetwork, open_network
from faulting.programs import FaultError, Monitor, Programs, Subscriber, free_port, wait_for
from faulting.verdict import Outcome, judge

__all__ = ["FAULTS", "Sizes", "run_fault"]

MONITOR_TO_LET_GO_S = 40.0  # `monitor.bus.server`: 10 s to the ping, 30 s for its answer


@dataclass(frozen=True)
class Sizes:
    """How much of it.

    Attributes:
        alarms: alarm messages before and after a fault.
        deaths: how often something is killed.
        stopped_s: how long a subscriber is stopped, s.
        messages: of the burst.
        cut_s: how long the network is cut, s.
        fuzz_s: how long random frames are sent, s.
    """

    alarms: int = 60
    deaths: int = 5
    stopped_s: float = 180.0
    messages: int = 200_000
    cut_s: float = 30.0
    fuzz_s: float = 60.0


SHORT = Sizes(alarms=4, deaths=2, stopped_s=3.0, messages=24_000, cut_s=8.0, fuzz_s=4.0)


class _Scene:
    """A monitor and its subscriber, joined; and the times of the fault."""

    def __init__(
        self, programs: Programs, sizes: Sizes, network: NamespaceNetwork | ForwarderNetwork | None = None
    ) -> None:
        self.programs, self.sizes = programs, sizes
        self.listen = network.listen if network else f"tcp://127.0.0.1:{free_port()}"
        self._at_monitor = network.at_monitor if network else ()
        self.monitors = [Monitor(programs, self.listen, prefix=self._at_monitor)]
        connect, prefix = (network.connect, network.at_subscriber) if network else (self.listen, ())
        self.subscriber = Subscriber(programs, connect, prefix=prefix)
        self.subscriber.joined()
        self.monitor.said_more(sizes.alarms)
        self.before_mb = self.monitor.program.look(), self.subscriber.program.look()
        self.began_s = self.ended_s = time.time()

    @property
    def monitor(self) -> Monitor:
        return self.monitors[-1]

    def begin(self) -> None:
        """The fault begins."""
        self.began_s = time.time()

    def end(self) -> None:
        """The fault is over."""
        self.ended_s = time.time()

    def restart_monitor(self) -> None:
        """On the same port, with the same journal."""
        self.monitors.append(Monitor(self.programs, self.listen, len(self.monitors) + 1, self._at_monitor))

    def finish(self, fault: str, detail: str) -> Outcome:
        """Let it go on and heal, end in order, judge."""
        self.monitor.said_more(self.sizes.alarms)
        self.subscriber.caught_up(self.monitor)
        self.monitor.program.end()
        wait_for(lambda: self.subscriber.counts().get("state") == "ended", "the goodbye at the subscriber")
        self.subscriber.program.end()
        return judge(
            fault, detail, self.programs.folder, self.subscriber,
            window_s=(self.began_s, self.ended_s),
            memory={
                "monitor": (self.before_mb[0], max(monitor.program.most_mb for monitor in self.monitors)),
                "subscriber": (self.before_mb[1], self.subscriber.most_mb),
            },
        )  # fmt: skip


def subscriber_killed(programs: Programs, sizes: Sizes) -> Outcome:
    """kill -9, nobody listens for a while, then it goes on from its position."""
    scene = _Scene(programs, sizes)
    scene.begin()
    for _ in range(sizes.deaths):
        scene.subscriber.program.kill()
        scene.monitor.said_more(sizes.alarms)
        scene.subscriber.again()
        scene.monitor.said_more(sizes.alarms)
    scene.end()
    return scene.finish("subscriber killed (-9) and started anew", f"{sizes.deaths} times")


def monitor_killed(programs: Programs, sizes: Sizes) -> Outcome:
    """kill -9 while an alarm lasts, then a new run with the same journal; sometimes two before anybody is back."""
    scene = _Scene(programs, sizes)
    scene.begin()
    for death in range(sizes.deaths):
        scene.monitor.in_the_middle()
        scene.monitor.program.kill()
        if death == sizes.deaths - 1:  # and a run that the subscriber never hears of
            scene.subscriber.program.signal(signal.SIGSTOP)
            scene.restart_monitor()
            scene.monitor.in_the_middle()
            scene.monitor.program.kill()
            scene.subscriber.program.signal(signal.SIGCONT)
        scene.restart_monitor()
        scene.monitor.said_more(1)
    scene.end()
    return scene.finish(
        "monitor killed (-9) in the middle of an alarm, same journal", f"{sizes.deaths + 1} times, once twice in a row"
    )


def subscriber_stopped(programs: Programs, sizes: Sizes) -> Outcome:
    """SIGSTOP, SIGCONT: it reads nothing while the monitor goes on; after a while it is let go of."""
    scene = _Scene(programs, sizes)
    scene.begin()
    scene.subscriber.program.signal(signal.SIGSTOP)
    time.sleep(sizes.stopped_s)
    scene.monitor.said_more(1)
    scene.subscriber.program.signal(signal.SIGCONT)
    scene.end()
    gone = " (longer than the monitor waits for a sign of life)" if sizes.stopped_s > MONITOR_TO_LET_GO_S else ""
    return scene.finish("subscriber stopped (SIGSTOP)", f"{sizes.stopped_s:g} s{gone}")


def burst(programs: Programs, sizes: Sizes) -> Outcome:
    """As fast as the bus goes, to a subscriber that reads, and to one that is stopped until it is over."""
    listen = f"tcp://127.0.0.1:{free_port()}"
    publisher = programs.module("flood", listen, str(programs.folder / "journal.sqlite"), str(sizes.messages))
    reading, stopped = (Subscriber(programs, listen, name) for name in ("subscriber", "stopped"))
    for subscriber in (reading, stopped):
        subscriber.joined()
    before_mb = publisher.look(), reading.program.look()
    began_s = time.time()
    stopped.program.signal(signal.SIGSTOP)
    publisher.tell("go")
    if publisher.line() != "done":
        raise FaultError(f"the publisher has ended: {publisher.errors()}")
    ended_s = time.time()
    stopped.program.signal(signal.SIGCONT)
    last = "p1", reading.joined().epoch, sizes.messages // 2
    for subscriber in (reading, stopped):
        wait_for(lambda s=subscriber: s.has(*last), "the last alarm message of the burst")  # type: ignore[misc]
    publisher.look()
    publisher.tell("end")
    for subscriber in (reading, stopped):
        wait_for(lambda s=subscriber: s.counts().get("state") == "ended", "the goodbye at the subscriber")  # type: ignore[misc]
        subscriber.program.end()
    publisher.process.wait()
    took = f"in {ended_s - began_s:.1f} s"
    verdicts = [
        judge(
            f"burst of {sizes.messages:,} messages, {how}", took, programs.folder, subscriber,
            window_s=None,
            memory={
                "publisher": (before_mb[0], publisher.most_mb),
                "subscriber": (before_mb[1], subscriber.most_mb),
            },
        )
        for subscriber, how in ((reading, "subscriber reads"), (stopped, "subscriber stopped meanwhile"))
    ]  # fmt: skip
    verdicts[0].others.append(verdicts[1])
    return verdicts[0]


def network_cut(programs: Programs, sizes: Sizes) -> Outcome:
    """Nothing gets through between them, without a word to either."""
    return _cut(programs, sizes, open_network(programs))


def _cut(programs: Programs, sizes: Sizes, network: NamespaceNetwork | ForwarderNetwork) -> Outcome:
    try:
        scene = _Scene(programs, sizes, network)
        scene.begin()
        network.cut()
        time.sleep(sizes.cut_s)
        scene.monitor.said_more(1)
        told = scene.subscriber.counts().get("state")
        network.mend()
        scene.end()
        if told != "lost":
            raise FaultError(f"the network was cut, and the subscriber says {told!r}; must be 'lost'")
        return scene.finish("network cut", f"{sizes.cut_s:g} s, {network.what}")
    finally:
        programs.close()
        network.close()


def network_stopped(programs: Programs, sizes: Sizes) -> Outcome:
    """The same, where no namespaces are to be had."""
    return _cut(programs, sizes, ForwarderNetwork(programs))


def fuzzed(programs: Programs, sizes: Sizes) -> Outcome:
    """Random frames into the control socket, random bytes into all."""
    scene = _Scene(programs, sizes)
    scene.begin()
    fuzz = programs.module("fuzz", scene.listen, "1")
    time.sleep(sizes.fuzz_s)
    said = fuzz.end().strip()
    scene.end()
    return scene.finish("control socket fuzzed", f"{sizes.fuzz_s:g} s, {said}")


FAULTS: dict[str, Callable[[Programs, Sizes], Outcome]] = {
    "subscriber-killed": subscriber_killed,
    "monitor-killed": monitor_killed,
    "subscriber-stopped": subscriber_stopped,
    "burst": burst,
    "network-cut": network_cut,
    "network-stopped": network_stopped,
    "fuzzed": fuzzed,
}


def run_fault(name: str, sizes: Sizes) -> list[Outcome]:
    """Carry out one fault; one outcome a subscriber.

    Raises:
        FaultError: it could not be carried out, or what must follow did not.
    """
    with tempfile.TemporaryDirectory(prefix="ecg-fault-") as folder, Programs(Path(folder)) as programs:
        outcome = FAULTS[name](programs, sizes)
        return [outcome, *outcome.others]
