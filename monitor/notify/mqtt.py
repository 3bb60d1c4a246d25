"""An MQTT broker: the state of each kind of alarm at each bed as a retained message, found by Home Assistant."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from monitor.config import NotifyConfig
from monitor.errors import ConfigError, NotifyError, first_line
from monitor.messages import AlarmMessage, decode, encode
from monitor.notify.protection import is_loopback, read_secret, tls_context

__all__ = ["MqttReceiver"]

_KEEPALIVE_S: Final = 30  # the broker publishes the last will after 1.5 times this silence
_CLOSE_S: Final = 2.0
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_IS_ON: Final = "{{ 'OFF' if value_json.alarm.state == 'cleared' else 'ON' }}"


class MqttReceiver:
    """Publishes to `notify.mqtt` with QoS 1; the broker's acknowledgement means delivered.

    Topics below `notify.mqtt_topic`, all retained: `BED/KIND`, the last alarm message of this kind; `status`, `online`
    or, also by the last will, `offline`. At the start, alarms that an earlier run of the monitor left uncleared there
    are published as cleared.

    Many attributes: the connection, its topics, and what has been published.

    Raises:
        ConfigError: paho-mqtt is missing, no URL, no TLS to another host, or a file that cannot be used.
    """

    name: str = "mqtt"

    def __init__(self, config: NotifyConfig) -> None:
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError:
            raise ConfigError("notify.mqtt needs paho-mqtt; run: python -m pip install 'ecg-monitor[mqtt]'") from None
        host, port = _address(config)
        self._at = f"{host}:{port}"
        self._topic, self._discovery = config.mqtt_topic.strip("/"), config.mqtt_discovery.strip("/")
        self._timeout_s = config.timeout_s
        for key, value in (("mqtt_topic", self._topic), ("mqtt_discovery", self._discovery)):
            if any(char in value for char in "+#\0") or (key == "mqtt_topic" and not value):
                raise ConfigError(f"notify.{key} = {value!r}: give a topic without + and #, e.g. ecg-monitor")
        self._epoch = ""
        self._connected = threading.Event()
        self._reason = "no connection"
        self._published: set[str] = set()  # topics
        self._client = client = Client(CallbackAPIVersion.VERSION2)
        client.max_queued_messages_set(1_000)
        parts = urlsplit(config.mqtt)
        if parts.username:
            password = read_secret(config.mqtt_password).decode(errors="replace") if config.mqtt_password else None
            client.username_pw_set(unquote(parts.username), password)
        if parts.scheme == "mqtts":
            client.tls_set_context(tls_context(config))
        client.will_set(f"{self._topic}/status", "offline", qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_connect_fail = self._on_connect_fail
        client.on_message = self._on_message
        client.reconnect_delay_set(1, 30)
        client.connect_async(host, port, _KEEPALIVE_S)

    def begin(self, epoch: str) -> None:
        """Connect for the run `epoch`.

        Raises:
            NotifyError: no connection within `timeout_s`; the receiver goes on to try.
        """
        self._epoch = epoch
        self._client.loop_start()
        if not self._connected.wait(self._timeout_s):
            raise NotifyError(f"{self._at}: {self._reason}")

    def send(self, message: AlarmMessage, raw: bytes) -> None:
        """Publish one alarm.

        Raises:
            NotifyError: no connection, or no acknowledgement within `timeout_s`.
        """
        if not self._connected.is_set():
            raise NotifyError(f"{self._at}: {self._reason}")
        bed, kind = message.alarm.bed, message.alarm.kind
        topic = f"{self._topic}/{bed}/{kind}"
        if self._discovery and topic not in self._published:
            self._publish(f"{self._discovery}/binary_sensor/{_plain(topic)}/config", self._found_as(topic, bed, kind))
        self._published.add(topic)
        self._publish(topic, raw)

    def close(self) -> None:
        """Publish `offline` and disconnect."""
        if self._connected.is_set():
            self._client.publish(f"{self._topic}/status", "offline", qos=1, retain=True).wait_for_publish(_CLOSE_S)
        self._client.disconnect()
        self._client.loop_stop()

    def _publish(self, topic: str, body: bytes) -> None:
        sent = self._client.publish(topic, body, qos=1, retain=True)
        until_s = time.monotonic() + self._timeout_s
        try:
            while not sent.is_published() and self._connected.is_set() and time.monotonic() < until_s:
                sent.wait_for_publish(0.2)
            acknowledged = sent.is_published()
        except (RuntimeError, ValueError) as error:  # paho: no connection, or its queue is full
            raise NotifyError(f"{self._at}: {first_line(error)}") from None
        if not acknowledged:
            late = f"not acknowledged within {self._timeout_s:g} s"
            raise NotifyError(f"{self._at}: {late if self._connected.is_set() else self._reason}")

    def _found_as(self, topic: str, bed: str, kind: str) -> bytes:
        """The entity of Home Assistant: on unless the alarm is cleared."""
        return msgspec.json.encode(
            {
                "name": kind.replace("_", " "),
                "unique_id": f"{self._topic}/{bed}/{kind}",
                "state_topic": topic,
                "value_template": _IS_ON,
                "json_attributes_topic": topic,
                "json_attributes_template": "{{ value_json.alarm | tojson }}",
                "availability_topic": f"{self._topic}/status",
                "device_class": "problem",
                "device": {"identifiers": [f"{self._topic}/{bed}"], "name": f"ECG {bed}"},
            }
        )

    # -- in the thread of paho ---------------------------------------------------------------------------------------

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._reason = str(reason)
            return
        self._client.subscribe(f"{self._topic}/+/+", qos=1)
        self._client.publish(f"{self._topic}/status", "online", qos=1, retain=True)
        self._reason = "no connection"
        self._connected.set()

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._connected.clear()
        if reason.is_failure and self._reason == "no connection":
            self._reason = f"no connection ({reason})"

    def _on_connect_fail(self, _client: Any, _data: Any) -> None:
        self._connected.clear()
        error = sys.exc_info()[1]  # paho calls this while it handles the error, and does not pass it
        self._reason = "no connection" if error is None else first_line(error)

    def _on_message(self, _client: Any, _data: Any, found: Any) -> None:
        """Clear an alarm that an earlier run left at the broker."""
        if not found.retain or found.topic in self._published:
            return
        try:
            message = decode(found.payload)
        except ValueError:  # of another program
            return
        if isinstance(message, AlarmMessage) and message.epoch != self._epoch and message.alarm.state != "cleared":
            alarm = msgspec.structs.replace(
                message.alarm, state="cleared", text=f"{message.alarm.text} (in an earlier run)"
            )
            self._client.publish(found.topic, encode(msgspec.structs.replace(message, alarm=alarm)), qos=1, retain=True)


def _address(config: NotifyConfig) -> tuple[str, int]:
    """Host and port of `notify.mqtt`.

    Raises:
        ConfigError: no URL, or no TLS to another host.
    """
    try:
        parts = urlsplit(config.mqtt)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in _PORTS or parts.password is not None:
        raise ConfigError("notify.mqtt: give mqtts://USER@HOST:PORT, the password in the file mqtt_password")
    if parts.scheme == "mqtt" and not is_loopback(host) and not config.insecure:
        raise ConfigError(
            f"notify.mqtt: mqtt to {host} sends alarms readable by others; give mqtts://..., or insecure = true"
        )
    return host, port or _PORTS[parts.scheme]


def _plain(topic: str) -> str:
    """The topic as an id of Home Assistant: letters, digits, `_`, `-`."""
    return "".join(char if char.isascii() and (char.isalnum() or char in "_-") else "_" for char in topic)
