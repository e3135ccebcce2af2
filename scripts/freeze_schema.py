"""Write the first migration's SQL from the models: one file per engine, with indexes, triggers and all.

Only for the time before the first release. Afterwards a change is a migration of its own, which
`alembic revision --autogenerate` drafts (CONTRIBUTING.md).
"""

from itertools import groupby
from pathlib import Path

from sqlalchemy import create_mock_engine

import tollkeeper.app  # noqa: F401 - it imports every table
from tollkeeper.storage.base import Base
from tollkeeper.storage.migrate import MIGRATIONS

URLS = {"sqlite": "sqlite://", "postgresql": "postgresql+psycopg://"}


def main() -> None:
    """Write versions/0001_initial.<engine>.sql for both engines."""
    for dialect, url in URLS.items():
        path = MIGRATIONS / "versions" / f"0001_initial.{dialect}.sql"
        path.write_text("\n".join(f"{statement};\n" for statement in _statements(url)))
        print(f"wrote {Path(path).relative_to(Path.cwd())}")


def _statements(url: str) -> list[str]:
    statements: list[str] = []

    def collect(statement: object, *_: object) -> None:
        compiled = statement if isinstance(statement, str) else str(statement.compile(dialect=engine.dialect))  # type: ignore[attr-defined]
        statements.append("\n".join(line.rstrip().replace("\t", "  ") for line in compiled.strip().splitlines()))

    engine = create_mock_engine(url, collect)
    Base.metadata.create_all(engine, checkfirst=False)
    return _with_indexes_in_order(statements)


def _with_indexes_in_order(statements: list[str]) -> list[str]:
    """A table keeps its indexes in a set: sort each run of them, so that the same models give the same file."""
    runs = groupby(statements, key=lambda statement: " INDEX " in statement.splitlines()[0])
    return [statement for is_index, run in runs for statement in (sorted(run) if is_index else run)]


if __name__ == "__main__":
    main()
