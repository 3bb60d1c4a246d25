"""A webhook: one POST with JSON for each alarm, signed with HMAC-SHA256 where a secret is given."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from typing import Final
from urllib.parse import urlsplit

import msgspec

from monitor import VERSION
from monitor.config import NotifyConfig
from monitor.errors import ConfigError, NotifyError, first_line
from monitor.messages import AlarmMessage
from monitor.notify.protection import is_loopback, read_secret, tls_context

__all__ = ["SIGNATURE_HEADER", "WebhookReceiver"]

SIGNATURE_HEADER: Final = "X-ECG-Monitor-Signature-256"  # sha256=HEX of the body
_LATER: Final = frozenset({408, 425, 429})  # answers of the kind 4xx that ask to try again


class WebhookReceiver:
    """Posts to `notify.webhook`; an answer of the kind 2xx means delivered.

    Redirects are not followed. An answer of the kind 4xx is final, but for those of `_LATER`.

    Raises:
        ConfigError: no URL, http to another host, or a file of a secret or certificate that cannot be used.
    """

    name: str = "webhook"

    def __init__(self, config: NotifyConfig) -> None:
        self._url, self._timeout_s, self._body = config.webhook, config.timeout_s, config.webhook_body
        try:
            parts = urlsplit(config.webhook)
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        if (
            not host
            or parts.scheme not in ("http", "https")
            or not config.webhook.isprintable()
            or " " in config.webhook
        ):
            raise ConfigError("notify.webhook is no URL; give https://HOST/PATH")  # it may hold a token: not repeated
        if parts.scheme == "http" and not is_loopback(host) and not config.insecure:
            raise ConfigError(
                f"notify.webhook: http to {host} sends alarms readable by others; give https://..., or insecure = true"
            )
        self._host = host
        self._tls = tls_context(config) if parts.scheme == "https" else None
        self._secret = read_secret(config.webhook_secret) if config.webhook_secret else b""

    def begin(self, epoch: str) -> None:
        """Nothing is to be prepared: each alarm has its own connection."""

    def send(self, message: AlarmMessage, raw: bytes) -> None:
        """Post one alarm.

        Raises:
            NotifyError: no connection, no answer within `timeout_s`, or an answer other than 2xx.
        """
        body = raw if self._body == "alarm" else msgspec.json.encode({"text": _text(message)})
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"ecg-monitor/{VERSION}",
            "Idempotency-Key": f"{message.epoch}/{message.alarm.bed}/{message.seq}",
        }
        if self._secret:
            headers[SIGNATURE_HEADER] = "sha256=" + hmac.new(self._secret, body, hashlib.sha256).hexdigest()
        status = asyncio.run(self._post(body, headers))
        if not 200 <= status < 300:
            final = 300 <= status < 500 and status not in _LATER
            raise NotifyError(f"{self._host} answered {status}", final=final)

    async def _post(self, body: bytes, headers: dict[str, str]) -> int:
        import aiohttp

        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout_s)) as session,
                session.post(
                    self._url,
                    data=body,
                    headers=headers,
                    allow_redirects=False,
                    ssl=True if self._tls is None else self._tls,
                ) as answer,
            ):
                return answer.status
        except TimeoutError:
            raise NotifyError(f"{self._host}: no answer within {self._timeout_s:g} s") from None
        except aiohttp.InvalidURL:  # its text would repeat the URL, which may hold a token
            raise NotifyError("notify.webhook is no URL; give https://HOST/PATH", final=True) from None
        except aiohttp.ClientConnectorCertificateError as error:
            raise NotifyError(f"{self._host}: {first_line(error.certificate_error)}; check notify.ca") from None
        except aiohttp.ClientConnectorError as error:
            number = error.os_error.errno or 0  # negative: of the name server
            reason = os.strerror(number) if number > 0 else first_line(error.os_error)
            raise NotifyError(f"{self._host}: {reason}") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotifyError(f"{self._host}: {first_line(error)}") from None

    def close(self) -> None:
        """Nothing is open between two alarms."""


def _text(message: AlarmMessage) -> str:
    """One line for a person."""
    alarm = message.alarm
    return f"{alarm.bed}: {alarm.kind} ({alarm.priority}, {alarm.state}): {alarm.text} [{message.time}]"
