"""README and docs are true and short: links, commands, options, code, number and length of lines."""

from __future__ import annotations

import importlib
import pkgutil
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer.main

from tests import ROOT

PAGES = sorted(ROOT.glob("docs/*.md"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *PAGES, *ROOT.glob("detector/models/*.md")])
MAX_LINE, MAX_README_LINES, MAX_PAGES = 120, 130, 14


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(document), re.MULTILINE | re.DOTALL)


def anchors(document: Path) -> set[str]:
    """Fragments of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text_of(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_have_a_target(document: Path) -> None:
    for target, fragment in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", text_of(document)):
        if "://" in target:
            continue
        file = document.parent / target if target else document
        assert file.exists(), target
        assert not fragment or fragment in anchors(file), f"{target}#{fragment}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_no_path_of_a_machine(document: Path) -> None:
    assert not re.search(r"/(home|root|work|Users)/", text_of(document))


def test_the_readme_is_short() -> None:
    lines = text_of(ROOT / "README.md").splitlines()
    assert len(lines) <= MAX_README_LINES
    assert [line for line in lines if len(line) > MAX_LINE] == []


def test_there_are_few_pages() -> None:
    assert len(PAGES) <= MAX_PAGES
    readme = text_of(ROOT / "README.md")
    assert [page.name for page in PAGES if f"](docs/{page.name})" not in readme] == []


def prose(document: Path) -> Iterator[str]:
    """Lines outside of code blocks and tables."""
    in_code = False
    for line in text_of(document).splitlines():
        in_code ^= line.startswith("```")
        if not in_code and not line.startswith("|"):
            yield line


@pytest.mark.parametrize("document", [ROOT / "README.md", *PAGES], ids=lambda path: path.name)
def test_lines_of_prose_are_short(document: Path) -> None:
    assert [line for line in prose(document) if len(line) > MAX_LINE] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_page_begins_with_commands(page: Path) -> None:
    title, *rest = text_of(page).split("\n\n")
    assert title.startswith("# ")
    assert rest[0].startswith("```\n")


def commands() -> list[list[str]]:
    lines = "\n".join(block for document in DOCUMENTS for block in blocks(document, "")).splitlines()
    parts = [part for line in lines for part in re.split(r" #| \| | >> ", line)[0].split(" && ")]
    known = re.compile(r"(ecg-monitor|python -m train|python tools/(bench|study|bus_faults)\.py)( |$)")
    return [shlex.split(part) for part in dict.fromkeys(parts) if known.match(part)]


def app_of(command: list[str]) -> tuple[typer.Typer, list[str]]:
    """The typer application of a command line, and its arguments."""
    if command[0] == "ecg-monitor":
        from monitor.commands.app import app

        return app, command[1:]
    if command[1] == "-m":
        pytest.importorskip("torch")
        from train.commands import app as train_app

        return train_app, command[3:]
    return importlib.import_module(Path(command[1]).stem).app, command[2:]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_and_option_exists(command: list[str]) -> None:
    app, words = app_of(command)
    chosen = typer.main.get_command(app)
    while words and not words[0].startswith("-") and hasattr(chosen, "commands"):  # `keys add` is two levels deep
        chosen, words = chosen.commands[words[0]], words[1:]
    known = {option for parameter in chosen.params for option in parameter.opts + parameter.secondary_opts}
    for word in words:
        if word.startswith("--"):
            assert word in known, word


def test_every_tool_in_the_documents_exists() -> None:
    for document in DOCUMENTS:
        if document.name != "CHANGELOG.md":
            for tool in re.findall(r"\btools/[\w/]+\.\w+", text_of(document)):
                assert (ROOT / tool).exists(), f"{document.name}: {tool}"


def test_every_name_of_a_module_exists() -> None:
    pytest.importorskip("torch")
    for page in [ROOT / "README.md", *PAGES]:
        for name in re.findall(r"`((?:monitor|detector|train)(?:\.\w+)+)[`(]", text_of(page)):
            if not name.endswith((".py", ".toml")):
                assert pkgutil.resolve_name(name) is not None, name


def test_the_notebook_example_runs() -> None:
    (code,) = [block for block in blocks(ROOT / "README.md", "python") if "Detector(" in block]
    from monitor.sources import SourceOptions, open_source

    source = open_source("sim:sinus=20", SourceOptions(duration_s=20))
    chunk = source.read(5000)
    source.close()
    assert chunk is not None
    printed: list[tuple[object, ...]] = []
    exec(
        compile(code, "README.md", "exec"),
        {"pieces_of_ecg": np.array_split(chunk.samples, 50), "print": lambda *words: printed.append(words)},
    )
    assert len(printed) > 10
    assert all(isinstance(r_sample, int) and 0 <= decision.p_value <= 1 for r_sample, _, decision in printed)  # type: ignore[attr-defined]


def test_examples_of_python_compile() -> None:
    for document in DOCUMENTS:
        for code in blocks(document, "python"):
            compile(code, document.name, "exec")
