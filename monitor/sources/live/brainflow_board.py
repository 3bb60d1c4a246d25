"""BrainFlow's boards: names, parameters, and error texts for the user."""

from __future__ import annotations

import difflib
import warnings
from typing import Any, Final
from urllib.parse import parse_qsl

from monitor.errors import SourceError, first_line

__all__ = ["board_id", "board_params", "load_brainflow", "reason"]


def load_brainflow(name: str) -> Any:
    """Import BrainFlow, with its log turned off.

    Raises:
        SourceError: it is not installed, or does not run here.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it uses pkg_resources at its first call
            from brainflow import board_shim

            board_shim.BoardShim.disable_board_logger()  # it would write to standard error, over the dashboard
    except ImportError as error:
        missing = "'setuptools<82' (for BrainFlow)" if error.name == "pkg_resources" else "'ecg-monitor[brainflow]'"
        raise SourceError(f"{name}: needs the extra brainflow: python -m pip install {missing}") from None
    except OSError as error:  # no library for this machine
        raise SourceError(f"{name}: BrainFlow does not run on this machine ({error})") from None
    return board_shim


def board_id(flow: Any, board: str, name: str) -> int:
    """Return the id of a board named in any case, with or without `_BOARD`, or by number."""
    ids: dict[str, int] = {member.name: int(member.value) for member in flow.BoardIds}
    wanted = board.strip().upper()
    for key in (wanted, f"{wanted}_BOARD"):
        if key in ids and key != "NO_BOARD":
            return ids[key]
    if wanted.lstrip("-").isdecimal() and int(wanted) in ids.values():
        return int(wanted)
    near = difflib.get_close_matches(wanted, ids, n=3, cutoff=0.4) or ["SYNTHETIC_BOARD", "CYTON_BOARD"]
    raise SourceError(f"{name}: BrainFlow has no board {board!r}; nearest: {', '.join(near)}")


def board_params(flow: Any, query: str, name: str) -> Any:
    """Parse `key=value&...` into `BrainFlowInputParams`.

    Raises:
        SourceError: no such parameter, or a value of the wrong type.
    """
    params = flow.BrainFlowInputParams()
    known = vars(params)
    try:
        pairs = parse_qsl(query, strict_parsing=bool(query), keep_blank_values=True)
    except ValueError:
        raise SourceError(f"{name}: write parameters as key=value&key=value, e.g. serial_port=/dev/ttyUSB0") from None
    for key, value in pairs:
        if key not in known:
            raise SourceError(f"{name}: no parameter {key!r}; there are {', '.join(known)}")
        if key == "master_board":
            setattr(params, key, board_id(flow, value, name))
        elif isinstance(known[key], int):
            if not value.isdecimal():
                raise SourceError(f"{name}: {key}={value} is no whole number")
            setattr(params, key, int(value))
        else:
            setattr(params, key, value)
    return params


_REASONS: Final = {
    "INVALID_ARGUMENTS_ERROR": "a parameter is missing or wrong, e.g. ?serial_port=/dev/ttyUSB0 or ?mac_address=...",
    "UNABLE_TO_OPEN_PORT_ERROR": "the port cannot be opened; is it the right one, free, and permitted?",
    "BOARD_NOT_READY_ERROR": "the board does not answer; is it on, and in reach?",
    "UNSUPPORTED_BOARD_ERROR": "this board is not supported on this machine",
    "ANOTHER_BOARD_IS_CREATED_ERROR": "the board is in use by this program already",
}


def reason(flow: Any, error: Any) -> str:
    """Return a BrainFlowError in one line, with the remedy if there is one."""
    name = flow.BrainFlowExitCodes(error.exit_code).name
    return f"{_REASONS[name]} ({name})" if name in _REASONS else first_line(error)
