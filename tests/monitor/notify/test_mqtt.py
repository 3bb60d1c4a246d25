"""MQTT with a real broker: mosquitto, started, stopped and started again by the tests."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from monitor.config import NotifyConfig
from monitor.errors import ConfigError, NotifyError
from monitor.messages import encode
from monitor.notify.mqtt import MqttReceiver
from tests.monitor.commands.helpers import ecg_monitor
from tests.monitor.notify.helpers import alarm_message
from tests.monitor.notify.test_with_monitor import LASTING, TWO_ALARMS, Started, words
from tests.monitor.sources.helpers import wait_for

PROGRAM = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


class Broker:
    def __init__(self, folder: Path, settings: str = "allow_anonymous true\n", listener: str = "") -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\n{listener}{settings}")
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        assert PROGRAM is not None
        self._process = subprocess.Popen([PROGRAM, "-c", self._config], stderr=subprocess.DEVNULL)
        wait_for(self._answers, "the broker")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


class Reader:
    """All retained messages of the broker."""

    def __init__(self, port: int) -> None:
        self.found: dict[str, Any] = {}
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        text = message.payload.decode()
        self.found[message.topic] = json.loads(text) if text.startswith("{") else text

    def state(self, topic: str) -> str:
        return self.found[topic]["alarm"]["state"] if topic in self.found else ""

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    if PROGRAM is None:
        pytest.skip("no mosquitto; run: apt-get install mosquitto")
    started = Broker(tmp_path)
    yield started
    started.stop()


@pytest.fixture
def reader(broker: Broker) -> Iterator[Reader]:
    connected = Reader(broker.port)
    yield connected
    connected.close()


def receiver(broker: Broker, **settings: Any) -> MqttReceiver:
    return MqttReceiver(NotifyConfig(mqtt=broker.url, **{"timeout_s": 10.0, **settings}))


@pytest.mark.may_skip("mosquitto")
def test_a_state_is_retained_and_found_by_home_assistant(broker: Broker, reader: Reader) -> None:
    sender = receiver(broker)
    sender.begin("run")
    wait_for(lambda: reader.found.get("ecg-monitor/status") == "online", "the status")
    message = alarm_message()
    sender.send(message, encode(message))
    wait_for(lambda: reader.state("ecg-monitor/p1/asystole") == "onset", "the alarm")
    entity = reader.found["homeassistant/binary_sensor/ecg-monitor_p1_asystole/config"]
    assert entity["state_topic"] == "ecg-monitor/p1/asystole"
    assert entity["availability_topic"] == "ecg-monitor/status"
    sender.close()
    wait_for(lambda: reader.found["ecg-monitor/status"] == "offline", "the status")
    late = Reader(broker.port)
    wait_for(lambda: late.state("ecg-monitor/p1/asystole") == "onset", "the retained alarm")
    late.close()


@pytest.mark.may_skip("mosquitto")
def test_without_the_broker_an_alarm_is_not_delivered_and_later_it_is(broker: Broker) -> None:
    sender = receiver(broker, timeout_s=2.0)
    sender.begin("run")
    broker.stop()
    message = alarm_message()
    with pytest.raises(NotifyError, match=r"127\.0\.0\.1:\d+: "):
        sender.send(message, encode(message))
    broker.start()

    def delivered() -> bool:
        try:
            sender.send(message, encode(message))
        except NotifyError:
            return False
        return True

    wait_for(delivered, "the connection")
    sender.close()


@pytest.mark.may_skip("mosquitto")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves a refused TLS socket open
def test_password_and_certificate_are_used(tmp_path: Path) -> None:
    if PROGRAM is None or (passwords := shutil.which("mosquitto_passwd")) is None:
        pytest.skip("no mosquitto; run: apt-get install mosquitto")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    subprocess.run([passwords, "-b", "-c", tmp_path / "users", "ana", "s3cret"], check=True, capture_output=True)
    for name in (".", "users", "server.pem"):
        (tmp_path / name).chmod(0o755)  # mosquitto gives up the rights of root
    tls = f"certfile {tmp_path}/server.pem\nkeyfile {tmp_path}/server.pem\n"
    broker = Broker(tmp_path, f"user root\npassword_file {tmp_path}/users\nallow_anonymous false\n", tls)
    url = f"mqtts://ana@127.0.0.1:{broker.port}"
    try:
        for password, ca, expected in (
            ("s3cret", True, ""),
            ("wrong", True, "Not authorized"),
            ("s3cret", False, "certificate verify failed"),
        ):
            secret = tmp_path / "secret"
            secret.write_text(password)
            secret.chmod(0o600)
            own = {"ca": str(tmp_path / "ca.pem")} if ca else {}
            timeout_s = 10.0 if not expected else 2.0
            sender = MqttReceiver(NotifyConfig(mqtt=url, mqtt_password=str(secret), timeout_s=timeout_s, **own))
            with pytest.raises(NotifyError, match=expected) if expected else contextlib.nullcontext():
                sender.begin("run")
            sender.close()
    finally:
        broker.stop()


@pytest.mark.slow
@pytest.mark.may_skip("mosquitto")
def test_a_monitor_that_is_killed_is_offline_and_its_alarm_is_cleared_by_the_next(
    broker: Broker, reader: Reader, tmp_path: Path
) -> None:
    with Started(tmp_path, [*words(tmp_path, LASTING, mqtt=broker.url), "--speed", "20"]) as run:
        wait_for(lambda: bool(reader.state("ecg-monitor/p1/asystole")), "the alarm")
        run.process.send_signal(signal.SIGKILL)
        run.process.wait()
    wait_for(lambda: reader.found["ecg-monitor/status"] == "offline", "the last will")
    with Started(tmp_path, [*words(tmp_path, "sim:sinus=600", mqtt=broker.url), "--speed", "1"]) as run:
        wait_for(lambda: reader.state("ecg-monitor/p1/asystole") == "cleared", "the end of the alarm")
        assert reader.found["ecg-monitor/status"] == "online"
        assert run.end() == 0


@pytest.mark.slow
@pytest.mark.may_skip("mosquitto")
def test_every_state_of_a_chosen_alarm_is_published(broker: Broker, reader: Reader, tmp_path: Path) -> None:
    done = ecg_monitor(
        *words(tmp_path, TWO_ALARMS, mqtt=broker.url, kinds="asystole,pause", priorities=""), "--speed", "30"
    )
    assert (done.returncode, done.stderr) == (0, "")
    wait_for(lambda: reader.state("ecg-monitor/p1/pause") == "cleared", "the last state")
    assert reader.state("ecg-monitor/p1/asystole") == "latched"
    assert not reader.state("ecg-monitor/p1/ventricular_run")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"mqtt": "nonsense"}, "give mqtts://"),
        ({"mqtt": "mqtts://ana:secret@example.org"}, "the password in the file"),
        ({"mqtt": "mqtt://192.0.2.7"}, "mqtt to 192.0.2.7 .*insecure"),
        ({"mqtt": "mqtts://ana@example.org", "mqtt_password": "nowhere"}, "nowhere: No such file"),
        ({"mqtt": "mqtts://example.org", "mqtt_topic": "a/#"}, r"without \+ and #"),
    ],
)
def test_wrong_settings_are_refused_at_the_start(settings: dict[str, str], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected) as error:
        MqttReceiver(NotifyConfig(**settings))  # type: ignore[arg-type]
    assert "secret" not in str(error.value)
