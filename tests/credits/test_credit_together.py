"""Many at once: no balance below zero, no reference drawn for twice, on both engines."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.credits.prepaid import add_acme, balance, draw, give_back, grant, problems
from tests.shop import at
from tollkeeper.credits.expire import expire_due_grants
from tollkeeper.storage.session import Database

THREADS = 8


@pytest.fixture
def books(database: Database) -> Database:
    """Acme with 1.00 in three grants."""
    with database.transaction() as session:
        add_acme(session)
        for name, amount in (("a", 50), ("b", 30), ("c", 20)):
            grant(session, name, amount)
    return database


def test_eight_who_draw_at_once_draw_no_more_than_there_is(books: Database) -> None:
    def run(worker: int) -> int:
        drawn = 0
        for number in range(5):
            with books.transaction() as session:
                drawn += sum(draw(session, 7, f"inv_{worker}_{number}").values())
        return drawn

    with ThreadPoolExecutor(THREADS) as pool:
        drawn = sum(pool.map(run, range(THREADS)))
    with books.snapshot() as session:
        assert (drawn, balance(session), problems(session)) == (100, 0, [])


def test_eight_who_draw_for_one_reference_draw_once(books: Database) -> None:
    def run(_: int) -> dict[str, int]:
        with books.transaction() as session:
            return draw(session, 60)

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(run, range(THREADS)))
    assert answers == [{"a": 50, "b": 10}] * THREADS
    with books.snapshot() as session:
        assert (balance(session), problems(session)) == (40, [])


def test_eight_who_give_back_at_once_give_back_once(books: Database) -> None:
    with books.transaction() as session:
        draw(session, 60)

    def run(_: int) -> dict[str, int]:
        with books.transaction() as session:
            return give_back(session)

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(run, range(THREADS))) == [{"a": 50, "b": 10}] * THREADS
    with books.snapshot() as session:
        assert (balance(session), problems(session)) == (100, [])


def test_eight_who_grant_under_one_key_grant_once(books: Database) -> None:
    def run(_: int) -> str:
        with books.transaction() as session:
            return grant(session, "bought", 500, key="payment-1").id

    with ThreadPoolExecutor(THREADS) as pool:
        assert len(set(pool.map(run, range(THREADS)))) == 1
    with books.snapshot() as session:
        assert (balance(session), problems(session)) == (600, [])


def test_draws_and_expiries_at_once_share_what_is_there(books: Database) -> None:
    with books.transaction() as session:
        grant(session, "short", 100, expires_at=at("2026-01-11"), priority=1)

    def run(worker: int) -> int:
        with books.transaction() as session:
            if worker % 2:
                return expire_due_grants(session, now=at("2026-01-11")) * 0
            return sum(draw(session, 10, f"inv_{worker}", now=at("2026-01-11")).values())

    with ThreadPoolExecutor(THREADS) as pool:
        drawn = sum(pool.map(run, range(THREADS)))
    with books.snapshot() as session:
        assert (drawn, balance(session, at("2026-01-11")), problems(session)) == (40, 60, [])
