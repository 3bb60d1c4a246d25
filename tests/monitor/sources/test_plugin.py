"""Sources of other packages: the example in tools/, and packages with faults."""

from __future__ import annotations

import importlib
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import SourceError
from monitor.sources import Source, SourceOptions, open_source
from monitor.sources.plugin import GROUP, plugin_kinds
from tests.monitor.commands.helpers import FREE_BUS, ecg_monitor
from tests.monitor.sources.helpers import Clock, read_chunks

EXAMPLE = Path(__file__).parents[3] / "tools" / "examples" / "example_source"


def install(folder: Path, name: str, points: dict[str, str]) -> None:
    """Write the metadata that pip installs with a package."""
    info = folder / f"{name.replace('-', '_')}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    lines = "".join(f"{kind} = {target}\n" for kind, target in points.items())
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of installed packages with the example, as in its pyproject.toml."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder, project["name"], project["entry-points"][GROUP])
    for path in (EXAMPLE, folder):
        monkeypatch.syspath_prepend(str(path))
    before = set(sys.modules)
    importlib.invalidate_caches()
    yield folder
    for name in set(sys.modules) - before:
        if name.startswith(("ecg_example", "other")):
            del sys.modules[name]


def test_the_example_source_is_found_and_read(site: Path) -> None:
    clock = Clock()
    source = open_source("example:60,lossy,loose", SourceOptions(clock=clock, duration_s=12))
    assert (source.name, source.lead, source.fs_hz, source.live) == ("example:60,lossy,loose", "II", 250.0, True)
    assert source.rails_mv == (-5.0, 5.0)
    assert source.read(1000) is None
    clock.now_s += 20
    chunks = read_chunks(source)
    samples = {c.first_sample + i: v for c in chunks for i, v in enumerate(c.samples)}
    assert sorted(set(range(3000)) - set(samples)) == [*range(975, 1000), *range(1975, 2000), *range(2975, 3000)]
    assert sum(len(c.notices) for c in chunks) == 3
    assert {i for i, v in samples.items() if np.isnan(v)} == set(range(2000, 2250))
    source.close()  # second call


def test_two_leads_of_a_live_source_of_a_package_are_refused(site: Path) -> None:
    with pytest.raises(SourceError) as refused:
        open_source("example:60", SourceOptions(channel="II,V1", clock=Clock()))
    assert str(refused.value) == "example:60: of this live source one lead is read; give one, e.g. --channel II"


def test_an_unknown_source_lists_the_kinds_of_packages(site: Path) -> None:
    assert plugin_kinds() == ["example"]
    with pytest.raises(SourceError, match=r"unknown source 'exmple:75'; choose one of sim, .*, example, e\.g\."):
        open_source("exmple:75")


def test_a_package_cannot_replace_a_built_in_source(site: Path) -> None:
    install(site, "other", {"sim": "ecg_example_source:open_example"})
    assert open_source("sim").name == "sim"
    assert type(open_source("sim")).__name__ == "Simulator"


def test_two_packages_with_one_kind_are_refused(site: Path) -> None:
    install(site, "other", {"example": "ecg_example_source:open_example"})
    with pytest.raises(SourceError, match="ecg-example-source, other; uninstall all but one"):
        open_source("example:75")


GOOD = """
    import numpy as np
    from monitor.sources import Chunk, EndOfStream

    class Other:
        name, lead, fs_hz, live, rails_mv, start_time, total_samples = "other", "I", 250, False, None, None, None
        def read(self, max_samples):
            return Chunk(0, np.zeros(1))
        def close(self):
            pass

    def open_other(what, options, name):
        return Other()
"""


def open_other(site: Path, code: str, target: str = "other:open_other") -> Source:
    install(site, "other-package", {"other": target})
    (site / "other.py").write_text(textwrap.dedent(code))
    importlib.invalidate_caches()
    return open_source("other:x")


@pytest.mark.parametrize(
    ("code", "target", "error"),
    [
        ("import no_such_module", "other:open_other", "cannot be loaded (ModuleNotFoundError: No module named"),
        ("1 +", "other:open_other", "cannot be loaded (SyntaxError"),
        (GOOD, "other:open_it", "cannot be loaded (AttributeError"),
        (GOOD, "other", "cannot be opened (TypeError"),
        ("def open_other(what): pass", "other:open_other", "cannot be opened (TypeError"),
        ("def open_other(*a): raise RuntimeError('a\\nb')", "other:open_other", "cannot be opened (RuntimeError: a)"),
        ("def open_other(*a): return 3", "other:open_other", "is no source (AttributeError"),
        (GOOD.replace("250", "'fast'"), "other:open_other", "is no source (ValueError"),
        (GOOD.replace("250", "20"), "other:open_other", "sampling rate 20 Hz"),
        (GOOD.replace("def close", "def finish"), "other:open_other", "is no source (AttributeError"),
    ],
)
def test_a_broken_package_is_refused_in_one_line(site: Path, code: str, target: str, error: str) -> None:
    with pytest.raises(SourceError) as refused:
        open_other(site, code, target)
    assert str(refused.value).startswith("other:x: ")
    assert error in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("raise OSError('unplugged')", "broke (OSError: unplugged)"),
        ("return 3", "gave no chunk (AttributeError"),
        ("return Chunk(0, 'abc')", "gave no chunk (ValueError"),
        ("return Chunk(0, np.zeros((2, 2)))", "shape (2, 2)"),
        ("return Chunk(0, np.zeros(max_samples + 1))", "shape (11,); at most (10,) is allowed"),
        ("return Chunk(-1, np.zeros(3))", "gave first_sample -1, at least 0 was due"),
        ("return Chunk(None, np.zeros(3))", "gave no chunk (TypeError"),
    ],
)
def test_a_fault_while_reading_is_one_line(site: Path, statement: str, error: str) -> None:
    source = open_other(site, GOOD.replace("return Chunk(0, np.zeros(1))", statement))
    with pytest.raises(SourceError) as refused:
        source.read(10)
    assert str(refused.value).startswith("other:x: source other of other-package ")
    assert error in str(refused.value)


def test_repeated_samples_are_refused_and_impossible_values_are_nan(site: Path) -> None:
    source = open_other(site, GOOD.replace("np.zeros(1)", "[0.5, np.nan, np.inf, 5e8]"))
    chunk = source.read(10)
    assert chunk is not None
    np.testing.assert_array_equal(chunk.samples, [0.5, np.nan, np.nan, np.nan])
    assert [notice.count for notice in chunk.notices] == [2]
    with pytest.raises(SourceError, match="gave first_sample 0, at least 4 was due"):
        source.read(10)


@pytest.mark.slow
def test_a_fault_of_a_plugin_ends_the_command_with_code_3(site: Path) -> None:
    install(site, "other-package", {"other": "other:open_other"})
    (site / "other.py").write_text(textwrap.dedent(GOOD.replace("return Chunk(0, np.zeros(1))", "1 / 0")))
    done = ecg_monitor("--source", "other", "--no-dashboard", *FREE_BUS, PYTHONPATH=str(site))
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "source other of other-package broke (ZeroDivisionError" in done.stderr
