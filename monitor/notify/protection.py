"""Protection of the connection to a receiver: TLS, secrets in files, and which hosts need neither."""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path

from monitor.bus.secret_files import check_mode, file_errors
from monitor.config import NotifyConfig
from monitor.errors import ConfigError

__all__ = ["is_loopback", "read_secret", "tls_context"]


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, without asking a name server."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def tls_context(config: NotifyConfig) -> ssl.SSLContext:
    """Check certificates against those of the system, or of `notify.ca`.

    Raises:
        ConfigError: that file cannot be used.
    """
    try:
        return ssl.create_default_context(cafile=config.ca or None)
    except OSError as error:  # ssl.SSLError, too
        reason = error.strerror or "no certificate in it"
        raise ConfigError(f"notify.ca {config.ca}: {reason}; give a file of certificates (PEM)") from None


def read_secret(path: str) -> bytes:
    """The first line of a file that others cannot read.

    Raises:
        ConfigError: missing, readable by others, or empty.
    """
    check_mode(Path(path))
    with file_errors(Path(path)):
        lines = Path(path).read_bytes().splitlines()
    if not lines or not lines[0].strip():
        raise ConfigError(f"{path} is empty; write the secret into its first line")
    return lines[0].strip()
