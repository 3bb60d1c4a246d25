"""The receivers of `[notify]` beside a monitor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from monitor.config import Config
from monitor.errors import ConfigError, plain_line
from monitor.notify.choice import Choice, names_in
from monitor.notify.courier import Courier, Receiver
from monitor.notify.waiting import Waiting

if TYPE_CHECKING:
    from monitor.engine.pipeline import Pipeline

__all__ = ["Notifier"]

_JOIN_S: Final = 2.0
_NAMED_BEDS: Final = 20  # in one line
_STATES_PER_MINUTE: Final = 60_000  # a broker takes thousands a second; a state that is left out would stay wrong
END_S: Final = 5.0  # at the end of the monitor, for the last alarms, besides the attempt that runs


class Notifier:
    """Delivers the alarms of one monitor to every receiver of `[notify]`.

    Args:
        config: the whole configuration.
        report: called with one line for a person, from any thread.

    Attributes:
        active: whether there is any receiver.

    Raises:
        ConfigError, PositionError: a setting or a file that cannot be used.
    """

    def __init__(self, config: Config, report: Callable[[str], None]) -> None:
        self._settings = settings = config.notify
        self._report = report
        self._pipeline: Pipeline | None = None
        receivers: list[Receiver] = []
        Choice(settings)  # checks the names, also without a receiver
        _check_beds(config)
        if settings.command:
            from monitor.notify.command import CommandReceiver

            receivers.append(CommandReceiver(settings))
        if settings.webhook:
            from monitor.notify.webhook import WebhookReceiver

            receivers.append(WebhookReceiver(settings))
        journal = config.journal.path
        self._couriers = [
            Courier(
                receiver,
                Choice(settings),
                Waiting(settings.per_minute, settings.retry_s),
                Path(f"{journal}.notify-{receiver.name}.json") if journal else None,
                self._handle,
            )
            for receiver in receivers
        ]
        if settings.mqtt:
            from monitor.notify.mqtt import MqttReceiver

            # No file: a broker holds states, and a state of an earlier run is over.
            waiting = Waiting(_STATES_PER_MINUTE, settings.retry_s, newest_only=True)
            choice = Choice(settings, follow=True)
            self._couriers.append(Courier(MqttReceiver(settings), choice, waiting, None, self._handle))
        self.active = bool(self._couriers)

    def start(self, pipeline: Pipeline) -> None:
        """Begin to deliver the alarms of a monitor; call it before the monitor runs."""
        self._pipeline = pipeline
        bus = pipeline.bus
        for courier in self._couriers:
            courier.start(bus.endpoints, bus.screen_key, bus.epoch)
        if self._couriers and pipeline.speed == 0:
            # A short record would end before. Each subscriber has two subscriptions: its stream and the heartbeat.
            pipeline.wait_for_subscriber(_JOIN_S, 2 * len(self._couriers))

    def close(self) -> tuple[str, ...]:
        """Deliver the last alarms, each tried once, and end; one line per receiver that did not get all."""
        if self._pipeline is None:
            return ()
        for courier in self._couriers:
            courier.end(END_S)
        lines = (courier.join(END_S + self._settings.timeout_s + 1.0) for courier in self._couriers)
        return tuple(line for line in lines if line)

    def _handle(self, bed: str, kind: str, text: str, count: int) -> None:
        line = plain_line(text)
        self._report(f"notify: {line}")
        if self._pipeline is not None:
            self._pipeline.incidents.put((bed, kind, line, count))


def _check_beds(config: Config) -> None:
    """Check that `notify.beds` names beds of this monitor: a wrong name would leave out alarms without a word.

    Raises:
        ConfigError: a name that no bed has.
    """
    asked = names_in(config.notify.beds)
    if not asked:
        return
    from monitor.engine.bed_plan import planned_beds

    known = [plan.name for plan in planned_beds(config)]
    if unknown := sorted(asked - set(known)):
        more = ", ..." if len(known) > _NAMED_BEDS else ""
        raise ConfigError(
            f"notify.beds: no bed {unknown[0]!r}; give some of {', '.join(known[:_NAMED_BEDS])}{more}, with commas"
        )
