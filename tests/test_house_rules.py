"""Rules of the house that no linter knows: the size of modules and classes, plain words, errors by class."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT

MAX_MODULE_LINES = 350
MAX_ATTRIBUTES = 12
REASON = "Many attributes:"  # begins the line of a class docstring that says why there are more
PRODUCT = sorted(path for folder in ("detector", "monitor", "train", "tools") for path in (ROOT / folder).rglob("*.py"))
PATTERNS = {"re.compile", "re.match", "re.search", "re.fullmatch", "re.sub", "re.split", "Meta", "msgspec.Meta"}
DOLLAR = re.compile(r"(?<!\\)\$(\Z|[|)])")  # at the end of a pattern or of an alternative
BY_TEXT = re.compile(r"type\((e|error|exc|exception)\)\.__name__ *(==|!=|in|not in)\b|\bin str\((e|error|exc)\)")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def attributes_of(node: ast.ClassDef) -> set[str]:
    """Names that methods assign on `self`, and fields that the class body declares."""
    names: set[str] = set()
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            names.add(item.target.id)
    for child in ast.walk(node):
        targets: list[ast.expr] = []
        if isinstance(child, ast.Assign):
            targets = [t for target in child.targets for t in ast.walk(target) if isinstance(t, ast.expr)]
        elif isinstance(child, ast.AnnAssign | ast.AugAssign):
            targets = [child.target]
        names |= {
            t.attr
            for t in targets
            if isinstance(t, ast.Attribute) and isinstance(t.value, ast.Name) and t.value.id == "self"
        }
    return names


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    for path in PRODUCT:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                yield f"{name_of(path)}:{node.lineno} {node.name}", node


@pytest.mark.parametrize("path", PRODUCT, ids=name_of)
def test_a_module_is_short(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= MAX_MODULE_LINES


def test_a_class_with_many_attributes_says_why() -> None:
    many = [
        f"{where}: {len(attributes_of(node))} attributes"
        for where, node in classes()
        if len(attributes_of(node)) > MAX_ATTRIBUTES and REASON not in (ast.get_docstring(node) or "")
    ]
    assert many == []


def test_errors_are_recognised_by_their_class() -> None:
    found = [name_of(path) for path in PRODUCT if BY_TEXT.search(path.read_text("utf-8"))]
    assert found == []


def test_a_pattern_ends_with_the_text() -> None:
    """`$` also matches before a last newline: a name with a line break would pass. `\\Z` does not."""
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in PRODUCT
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in PATTERNS and "MULTILINE" not in ast.unparse(node)
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str | bytes)
        if DOLLAR.search(part.value if isinstance(part.value, str) else part.value.decode("latin-1"))
    ]
    assert found == []


def test_one_module_prints() -> None:
    """Text from outside must not control the terminal: `monitor.terminal` makes it printable."""
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in PRODUCT
        if name_of(path).startswith(("monitor/", "detector/")) and name_of(path) != "monitor/terminal.py"
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "typer.echo", "typer.secho")
    ]
    assert found == []
