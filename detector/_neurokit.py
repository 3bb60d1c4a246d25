"""The R-peak finder of neurokit2, imported late and without its heavy dependencies.

`import neurokit2` doubles the start (1.2 s of processor time more until the first scored beat) and the memory (290
instead of 150 MB), for matplotlib, pandas and PyWavelets, which the finder imports and does not use. A thread would
hide the time from a live start only. So its few source files are executed here with an import function that replaces
every package except numpy and scipy by a stand-in; the finder's `scipy.signal.find_peaks`, called for every QRS, is the
faster one of `detector.peaks`. `sys.modules` is unchanged, so an ordinary `import neurokit2`, also in another thread,
works as always. If the package is laid out differently, or a stand-in is used, the ordinary import takes over.
"""

from __future__ import annotations

import builtins
import functools
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from detector.peaks import find_prominent

__all__ = ["findpeaks"]

Finder = Callable[..., Mapping[str, Any]]

_REAL = frozenset(sys.stdlib_module_names) | {"numpy", "scipy"}
_FINDER = "ecg_findpeaks"
_NEEDED = frozenset({"signal_sanitize", "signal_smooth"})  # functions of neurokit2 that the method "neurokit" calls


class _AbsentType(type):
    """Type of the stand-in: each attribute is the stand-in again; a call raises ImportError."""

    def __getattr__(cls, name: str) -> _AbsentType:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls

    def __call__(cls, *_args: object, **_kwargs: object) -> NoReturn:
        raise ImportError("this part of neurokit2 or of its dependencies was left out")


class _Absent(metaclass=_AbsentType):
    """Stand-in for a package that was not loaded. No object is an instance of it."""


def _run_source(root: Path, package: str, name: str) -> dict[str, Any]:
    """Globals of neurokit2/<package>/<name>.py, executed with stand-ins for heavy packages."""

    def import_lean(
        module: str,
        module_globals: Mapping[str, object] | None = None,
        module_locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> object:
        if level == 2:
            return SimpleNamespace(
                **{
                    wanted: _run_source(root, module, wanted)[wanted] if wanted in _NEEDED else _Absent
                    for wanted in fromlist or ()
                }
            )
        if level or module.partition(".")[0] not in _REAL:
            return _Absent
        if module.startswith("scipy.") and not fromlist and name == _FINDER:
            return SimpleNamespace(signal=SimpleNamespace(find_peaks=find_prominent))  # what it knows as `scipy`
        return builtins.__import__(module, module_globals, module_locals, fromlist or (), 0)

    full_name = f"neurokit2.{package}.{name}"
    path = root / package / f"{name}.py"
    code = SourceFileLoader(full_name, str(path)).get_code(full_name)  # from the compiled file where there is one
    if code is None:
        raise ImportError(f"{path} holds no code")
    module_globals: dict[str, Any] = {
        "__name__": full_name,
        "__package__": f"neurokit2.{package}",
        "__file__": str(path),
        "__builtins__": {**vars(builtins), "__import__": import_lean},
    }
    exec(code, module_globals)
    return module_globals


def _lean() -> Finder:
    """`ecg_findpeaks` alone.

    Raises:
        Exception: of any kind, if the installed neurokit2 is not laid out as expected.
    """
    spec = find_spec("neurokit2")  # finds a top-level package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("neurokit2 is not installed as a package")
    root = Path(next(iter(spec.submodule_search_locations)))
    finder: Finder = _run_source(root, "ecg", _FINDER)[_FINDER]
    return finder


def _plain() -> Finder:
    """`ecg_findpeaks` by the ordinary import."""
    import neurokit2

    finder: Finder = neurokit2.ecg_findpeaks
    return finder


@functools.cache
def _finder() -> Finder:
    """The cheapest `ecg_findpeaks` that works; cached."""
    if "neurokit2" in sys.modules:
        return _plain()
    try:
        lean = _lean()
    except Exception:
        return _plain()

    def with_fallback(*args: object, **kwargs: object) -> Mapping[str, Any]:
        try:
            return lean(*args, **kwargs)
        except Exception:  # a stand-in was used, or the call is wrong: then the plain function raises
            return _plain()(*args, **kwargs)

    return with_fallback


def findpeaks(window: NDArray[np.float64], fs_hz: float) -> NDArray[np.int64]:
    """R-peaks by the neurokit method (Makowski et al. 2021, DOI 10.3758/s13428-020-01516-y).

    `ecg_findpeaks` is called rather than `ecg_peaks`, which builds data frames and costs many times more.

    Args:
        window: (n,) float64, band-passed, mV, longer than 0.75 s.
        fs_hz: sampling rate, Hz.

    Returns:
        (k,) int64 positions in the window, rising.
    """
    with warnings.catch_warnings():
        # If the slope rises above its threshold and never falls below it, neurokit2 takes the mean of an empty list.
        warnings.simplefilter("ignore", RuntimeWarning)
        found = _finder()(window, sampling_rate=fs_hz, method="neurokit")
    return np.asarray(found["ECG_R_Peaks"], dtype=np.int64)
