"""The budgets of CONTRIBUTING.md, kept by a test: sizes, docstrings, no mocks of our own, no silent words."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = [ROOT / "backend/tollkeeper", ROOT / "kong-plugin/tollkeeper_kong"]
MOST_FILE_LINES = 400
MOST_FUNCTION_LINES = 60
VAGUE_NAMES = {"utils", "common", "helper", "helpers", "manager", "service", "misc", "info"}


def _sources() -> list[Path]:
    return [
        path
        for folder in CODE
        for path in sorted(folder.rglob("*.py"))
        if "migrations" not in path.parts and "node_modules" not in path.parts
    ]


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", _sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_stays_within_the_budgets(path: Path) -> None:
    lines = path.read_text().count("\n")
    too_long = [
        f"{function.name} has {(function.end_lineno or 0) - function.lineno + 1} lines"
        for function in _functions(path)
        if (function.end_lineno or 0) - function.lineno + 1 > MOST_FUNCTION_LINES
    ]
    assert lines <= MOST_FILE_LINES, f"{path.name} has {lines} lines; split it by concern"
    assert not too_long, "; ".join(too_long)
    assert path.stem not in VAGUE_NAMES, f"{path.name} says nothing; name it for what it holds"


@pytest.mark.parametrize("path", [p for p in _sources() if p.name == "__init__.py"], ids=str)
def test_a_package_s_init_holds_a_docstring_only(path: Path) -> None:
    body = ast.parse(path.read_text()).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr), f"{path} holds code; move it to a file named for it"


def test_no_test_mocks_our_own_modules() -> None:
    guilty = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if "unittest.mock" in path.read_text() and path.name != Path(__file__).name
    ]
    assert not guilty, "use the fakes of tests/fakes.py"


def test_only_the_session_commits() -> None:
    guilty = [
        str(path.relative_to(ROOT))
        for path in _sources()
        if ".commit(" in path.read_text()
        and path.parts[-2:] != ("storage", "session.py")
        and "tollkeeper_kong" not in path.parts
    ]
    assert not guilty, "one request or job is one transaction; storage/session.py commits"
