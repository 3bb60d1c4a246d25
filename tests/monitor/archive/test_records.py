"""Records that an argument of `score` stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.archive.inputs import files_of, hash_files, unchanged
from monitor.archive.records import find_records
from monitor.errors import ConfigError

HEADER = "{name} 1 250 100\n{name}.dat 16 200 16 0 0 0 0 II\n"


def record(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.dat").write_bytes(bytes(200))
    (folder / f"{name}.hea").write_text(HEADER.format(name=name))
    return folder / name


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    root = tmp_path / "archive"
    record(root / "ward1", "12")
    record(root / "ward2", "12")
    record(root / "ward2", "long_0001")
    record(root / "ward2", "long_0002")
    (root / "ward2" / "long.hea").write_text("# made by hand\nlong/3 1 250 200\nlong_0001 100\n~ 50\nlong_0002 100\n")
    (root / "holter.EDF").write_bytes(b"0")
    (root / "notes.txt").write_text("no signal")
    return root


def names(*asked: str) -> list[tuple[str, str]]:
    return [(found.name, found.spec) for found in find_records(asked)]


def test_a_folder_stands_for_all_its_records_without_segments(archive: Path) -> None:
    expected = [
        ("holter", f"edf:{archive}/holter.EDF"),
        ("ward1__12", f"wfdb:{archive}/ward1/12"),
        ("ward2__12", f"wfdb:{archive}/ward2/12"),
        ("ward2__long", f"wfdb:{archive}/ward2/long"),
    ]
    assert names(str(archive)) == expected
    assert names(f"{archive}/", str(archive)) == expected  # each once
    assert names(f"wfdb:{archive}") == expected[1:]
    assert names(f"{archive}/*") == expected


def test_names_are_relative_to_the_folder_before_the_pattern(archive: Path) -> None:
    assert names(f"{archive}/ward*/12.hea") == [
        ("ward1__12", f"wfdb:{archive}/ward1/12"),
        ("ward2__12", f"wfdb:{archive}/ward2/12"),
    ]
    assert names(f"{archive}/**/1*.hea") == names(f"{archive}/ward*/12.hea")
    assert names(f"wfdb:{archive}/ward2/1*") == [("12", f"wfdb:{archive}/ward2/12")]


def test_the_kind_of_a_file_is_that_of_its_suffix(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twelve = ("12", f"wfdb:{archive}/ward1/12")
    for asked in ("12", "12.hea", "12.dat"):
        assert names(f"{archive}/ward1/{asked}") == [twelve]
        assert names(f"wfdb:{archive}/ward1/{asked}") == [twelve]
    assert names(f"{archive}/ward2/long_0001") == [("long_0001", f"wfdb:{archive}/ward2/long_0001")]  # asked for
    assert names(f"csv:{archive}/notes.txt") == [("notes", f"csv:{archive}/notes.txt")]
    monkeypatch.chdir(archive)
    assert names("ward1/12") == [twelve]
    assert names("ward1/*.hea") == [twelve]


def test_data_sets_by_pattern(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_MONITOR_DATA", str(tmp_path))
    for name in ("100", "101", "200"):
        record(tmp_path / "mitdb", name)
    assert names("mitdb:10*") == [("mitdb-100", "mitdb:100"), ("mitdb-101", "mitdb:101")]
    assert names("mitdb:200", "mitdb:*", "sim") == [
        ("mitdb-200", "mitdb:200"), ("mitdb-100", "mitdb:100"), ("mitdb-101", "mitdb:101"), ("sim", "sim"),
    ]  # fmt: skip


def test_names_are_plain_and_keep_records_apart(tmp_path: Path) -> None:
    odd = [record(tmp_path, name) for name in ("Frau Müller", "Frau-Müller", "é" * 60, "è" * 60, ".hidden")]
    found = find_records(map(str, odd))
    assert len({one.name for one in found}) == len(odd)
    assert all(one.name.isascii() and len(one.name) <= 100 and one.name[0].isalnum() for one in found)
    assert {one.spec for one in found} == {f"wfdb:{path}" for path in odd}
    first, second = find_records(["sim:sinus=6,vt=8", "sim:sinus=6;vt=8"])
    assert first.name != second.name


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (["-"], "live source"),
        (["serial"], "live source"),
        (["lsl:ECG"], "live source"),
        (["mitdb:x*"], "no such record|no record in"),
        (["{archive}/nothing.hea"], "no such file"),
        (["{archive}/*.nothing"], "no record there"),
        (["{archive}/notes"], "no such file"),
        (["edf:{archive}/ward1"], "no record there"),
        (["{archive}/ward1/12", "{archive}/ward2/12"], "would both be written to 12"),
        (["{archive}/.hidden"], "say what it is"),
    ],
)
def test_an_argument_without_a_record_is_refused(asked: list[str], reason: str, archive: Path) -> None:
    (archive / ".hidden").write_text("?")
    with pytest.raises(ConfigError, match=reason) as refused:
        find_records(text.format(archive=archive) for text in asked)
    assert "\n" not in str(refused.value)


def test_the_files_of_a_record_are_all_files_that_are_read(archive: Path) -> None:
    def files(spec: str) -> list[str]:
        return [path.name for path in files_of(spec)]

    assert files(f"wfdb:{archive}/ward1/12") == ["12.hea", "12.dat"]
    assert files(f"wfdb:{archive}/ward2/long") == [
        "long.hea", "long_0001.hea", "long_0001.dat", "long_0002.hea", "long_0002.dat",
    ]  # fmt: skip
    assert files(f"edf:{archive}/holter.EDF") == ["holter.EDF"]
    assert files("sim:sinus=9") == []


def test_a_change_of_any_file_is_found(archive: Path) -> None:
    spec = f"wfdb:{archive}/ward2/long"
    known = hash_files(files_of(spec), spec)
    assert unchanged(known, files_of(spec))
    with (archive / "ward2" / "long_0002.dat").open("ab") as file:
        file.write(b"\0")
    assert not unchanged(known, files_of(spec))
    assert hash_files(files_of(spec), spec)[-1].sha256 != known[-1].sha256
    (archive / "ward2" / "long_0002.dat").unlink()
    assert not unchanged(known, files_of(spec))
