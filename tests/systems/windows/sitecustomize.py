"""Python as `monitor` and `detector` find it on Windows, for processes that tests start on a POSIX system.

It runs at the start of each process whose PYTHONPATH has this folder, with AS_WINDOWS=1.

What these two packages import then:

- fcntl, termios and the other POSIX modules are not found;
- `sys.platform` is "win32"; os, signal, select, socket, subprocess and time lack what Windows lacks, and have what it
  has in addition, as its documentation describes it: msvcrt, SIGBREAK, socket.share, creation flags;
- the whole process can create no file name that Windows forbids, nor rename or delete a file that it has open.

The standard library and other packages are untouched: on Linux they cannot run as on Windows. So this shows that our
code takes its Windows parts and needs nothing of POSIX; it does not show that Windows itself behaves as documented.
"""

from __future__ import annotations

import builtins
import fcntl
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

OURS = {"monitor", "detector"}
POSIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}
_FORBIDDEN = set('<>:"|?*\\') | {chr(code) for code in range(32)}
_RESERVED = {"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(1, 10))}


class View:
    """A module without some of its names, and with others; the rest, also what is set, is the module itself."""

    def __init__(self, module: types.ModuleType, missing: set[str], **instead: object) -> None:
        self.__dict__.update(instead, __name__=module.__name__, _module=module, _missing=missing)

    def __getattr__(self, name: str) -> object:
        if name in self.__dict__["_missing"]:
            raise AttributeError(f"Windows has no {self.__name__}.{name}")
        return getattr(self.__dict__["_module"], name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self.__dict__["_module"], name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.__dict__["_module"], name)


# -- os --------------------------------------------------------------------------------------------------------------

_OS_MISSING = {
    "O_CLOEXEC", "O_DIRECTORY", "O_DSYNC", "O_NDELAY", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK", "O_PATH", "O_SYNC",
    "O_TMPFILE", "WEXITED", "WNOHANG", "WNOWAIT", "P_PID", "chown", "chroot", "confstr", "ctermid", "fchdir", "fchmod",
    "fchown", "fdatasync", "fork", "forkpty", "fpathconf", "fstatvfs", "get_blocking", "getegid", "geteuid", "getgid",
    "getgroups", "getloadavg", "getpgid", "getpgrp", "getpriority", "getresuid", "getsid", "getuid", "killpg", "lchown",
    "lockf", "memfd_create", "mkfifo", "mknod", "nice", "openpty", "pathconf", "pidfd_open", "pipe2", "posix_fadvise",
    "posix_fallocate", "posix_spawn", "pread", "preadv", "pwrite", "pwritev", "readv", "register_at_fork",
    "sched_getaffinity", "sched_setaffinity", "sendfile", "set_blocking", "setegid", "seteuid", "setgid", "setgroups",
    "setpgid", "setpriority", "setsid", "setuid", "splice", "statvfs", "sync", "sysconf", "tcgetpgrp", "tcsetpgrp",
    "ttyname", "uname", "wait", "wait3", "wait4", "waitid", "writev",
}  # fmt: skip


def _open(path: str, flags: int, mode: int = 0o777) -> int:
    if Path(path).is_dir():
        raise PermissionError(13, "Permission denied", str(path))
    return os.open(path, flags, mode)


def _fsync(descriptor: int) -> None:
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(9, "Bad file descriptor")  # FlushFileBuffers needs the right to write
    os.fsync(descriptor)


def _rename(path: str, target: str) -> None:
    if Path(target).exists():
        raise FileExistsError(17, "File exists", str(target))
    Path(path).rename(target)


# -- signal ----------------------------------------------------------------------------------------------------------

_SIGNALS = {signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGINT, signal.SIGSEGV, signal.SIGTERM}
BREAK = signal.SIGQUIT  # takes the place of SIGBREAK


def _signal(number: int, handler: object) -> object:
    if number not in {*_SIGNALS, BREAK}:
        raise ValueError("signal number out of range")
    return signal.signal(number, handler)  # type: ignore[arg-type]


# -- select ----------------------------------------------------------------------------------------------------------


def _select(*lists: object) -> object:
    for files in lists[:3]:
        for file in files:  # type: ignore[attr-defined]
            descriptor = file if isinstance(file, int) else file.fileno()
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                raise OSError(10038, "An operation was attempted on something that is not a socket")
    return select.select(*lists)  # type: ignore[arg-type]


# -- socket ----------------------------------------------------------------------------------------------------------


class _Socket(socket.socket):
    def share(self, process_id: int) -> bytes:
        """A description with which the process can open this socket, once."""
        name = f"\0ecg-monitor-{os.getpid()}-{process_id}-{self.fileno()}"
        server = socket.socket(socket.AF_UNIX)
        server.bind(name)
        server.listen(1)

        def hand_over() -> None:
            with server, server.accept()[0] as other:
                socket.send_fds(other, [b"-"], [self.fileno()])

        threading.Thread(target=hand_over, daemon=True).start()
        return name.encode()


def _fromshare(description: bytes) -> socket.socket:
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(description.decode())
        return _Socket(fileno=socket.recv_fds(other, 1, 1)[1][0])


# -- subprocess ------------------------------------------------------------------------------------------------------


class _Popen(subprocess.Popen[bytes]):
    def __init__(self, *args: object, creationflags: int = 0, **options: object) -> None:
        if options.get("pass_fds") or options.get("preexec_fn"):
            raise ValueError("pass_fds and preexec_fn are not supported on Windows platforms")
        super().__init__(*args, **options)  # type: ignore[call-overload]


# -- msvcrt ----------------------------------------------------------------------------------------------------------

MSVCRT = types.ModuleType("msvcrt")
KEYS: list[str] = []  # characters that the console has for `getwch`


def _locking(descriptor: int, mode: int, n_bytes: int) -> None:
    if os.lseek(descriptor, 0, os.SEEK_CUR) != 0 or n_bytes != 1:
        raise AssertionError("each lock must be of the same byte, the first one")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_UN if mode == 0 else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise PermissionError(13, "Permission denied") from None


MSVCRT.__dict__.update(
    LK_UNLCK=0, LK_NBLCK=2, locking=_locking, kbhit=lambda: bool(KEYS), getwch=lambda: KEYS.pop(0),
    get_osfhandle=lambda descriptor: descriptor,
)  # fmt: skip


# -- all modules -----------------------------------------------------------------------------------------------------

VIEWS = {
    "msvcrt": MSVCRT,
    "os": View(os, _OS_MISSING, name="nt", O_BINARY=0, open=_open, fsync=_fsync, rename=_rename),
    "select": View(select, {name for name in dir(select) if "poll" in name.lower()}, select=_select),
    "signal": View(
        signal,
        {name for name in dir(signal) if name.startswith("SIG") and isinstance(getattr(signal, name), signal.Signals)}
        - {number.name for number in _SIGNALS}
        | {"alarm", "pause", "pthread_kill", "pthread_sigmask", "setitimer", "siginterrupt", "sigwait"},
        signal=_signal,
        SIGBREAK=BREAK,
    ),
    "socket": View(
        socket,
        {"AF_UNIX", "SO_REUSEPORT", "TCP_INFO", "send_fds", "recv_fds", "socketpair"},
        socket=_Socket,
        fromshare=_fromshare,
        SO_EXCLUSIVEADDRUSE=socket.SO_OOBINLINE,  # an option without effect here
    ),
    "subprocess": View(
        subprocess, set(), Popen=_Popen, CREATE_NEW_PROCESS_GROUP=0x200, BELOW_NORMAL_PRIORITY_CLASS=0x4000
    ),
    "sys": View(sys, {"abiflags"}, platform="win32"),
    "time": View(time, {name for name in dir(time) if name.startswith(("clock_", "CLOCK_"))}),
}
_real_import = builtins.__import__


def _import(
    name: str,
    globals: dict[str, object] | None = None,
    locals: dict[str, object] | None = None,
    fromlist: tuple[str, ...] | None = (),
    level: int = 0,
) -> types.ModuleType | View:
    importer = str((globals or {}).get("__package__") or (globals or {}).get("__name__") or "")
    if level == 0 and importer.partition(".")[0] in OURS:
        if name in POSIX_MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name in VIEWS:
            return VIEWS[name]
    return _real_import(name, globals, locals, fromlist or (), level)


# -- file names and open files ---------------------------------------------------------------------------------------


def _check_name(path: object) -> None:
    """As Windows refuses a name: of a file that is created."""
    if not isinstance(path, str | bytes | os.PathLike) or (text := os.fsdecode(path)).startswith(("/dev/", "/proc/")):
        return
    for part in Path(text).parts[1 if text.startswith("/") else 0 :]:
        if part == "..":
            continue
        if _FORBIDDEN & set(part) or part[-1:] in (" ", ".") or part.partition(".")[0].lower() in _RESERVED:
            raise OSError(22, "Invalid argument", text)


def _check_closed(path: object) -> None:
    """As Windows refuses to rename or delete a file that a program has open, or a folder above it."""
    real = os.path.realpath(os.fsdecode(path))  # type: ignore[arg-type]
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            target = os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115
        except OSError:
            continue
        if target == real or target.startswith(f"{real}/"):
            raise PermissionError(13, "The process cannot access the file because it is being used", real)


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open":
        flags = arguments[2]
        if isinstance(flags, int) and flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
            _check_name(arguments[0])
    elif event == "os.mkdir":
        _check_name(arguments[0])
    elif event == "os.rename":
        _check_name(arguments[1])
        _check_closed(arguments[0])
        _check_closed(arguments[1])
    elif event == "os.remove":
        _check_closed(arguments[0])


if os.environ.get("AS_WINDOWS"):  # whatever else imports this file is left as it is
    if Path("/proc/self/fd").is_dir():
        sys.addaudithook(_audit)
    builtins.__import__ = _import  # type: ignore[assignment]
