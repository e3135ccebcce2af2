"""Which grants pay, how much, and that they pay once."""

import pytest
from sqlalchemy.orm import Session

from tests.credits.prepaid import NOW, acme, acts, add_acme, balance, draw, give_back, grant, problems
from tests.shop import add_customer, at
from tollkeeper.credits.draw import Wanted, draw_credit_for, plan_draws
from tollkeeper.credits.grants import GrantDraft, grant_credit
from tollkeeper.credits.tables import GrantKind
from tollkeeper.credits.top_up import TopUpTerms, set_top_up, stop_top_up
from tollkeeper.customers.customers import get_customer
from tollkeeper.errors import Conflict, InvalidInput
from tollkeeper.notifications.tables import Notification


@pytest.fixture
def books(session: Session) -> Session:
    """Acme without any credit."""
    add_acme(session)
    return session


def test_without_credit_nothing_is_drawn(books: Session) -> None:
    assert draw(books, 100) == {}
    grant(books, "later", 100, effective_at=at("2026-02-01"))
    assert draw(books, 100) == {}
    assert draw(books, 0) == {}


def test_a_draw_takes_no_more_than_is_due_or_there(books: Session) -> None:
    grant(books, "welcome", 100)
    assert draw(books, 30, "inv_1") == {"welcome": 30}
    assert draw(books, 100, "inv_2") == {"welcome": 70}
    assert draw(books, 100, "inv_3") == {}
    assert acts(books)[1:] == ["draw: welcome -30, invoices:EUR +30", "draw: welcome -70, invoices:EUR +70"]
    assert problems(books) == []


def test_a_lower_priority_number_burns_first_then_earlier_expiry_then_age(books: Session) -> None:
    grant(books, "young", 10, now=at("2026-01-03"))
    grant(books, "old", 10, now=at("2026-01-02"))
    grant(books, "june", 10, expires_at=at("2026-06-01"))
    grant(books, "may", 10, expires_at=at("2026-05-01"))
    grant(books, "urgent", 10, priority=1)
    grant(books, "last", 10, priority=90, expires_at=at("2026-01-20"))
    assert list(draw(books, 60)) == ["urgent", "may", "june", "old", "young", "last"]


def test_a_later_grant_is_touched_only_when_the_earlier_is_used_up(books: Session) -> None:
    grant(books, "first", 50, priority=1)
    grant(books, "second", 50, priority=2)
    assert draw(books, 70) == {"first": 50, "second": 20}
    assert acts(books)[-1] == "draw: first -50, second -20, invoices:EUR +70"


def test_an_expired_grant_pays_nothing_though_no_job_has_run(books: Session) -> None:
    grant(books, "gone", 50, expires_at=at("2026-02-01"))
    grant(books, "here", 50)
    assert draw(books, 70, now=at("2026-02-01")) == {"here": 50}
    assert acts(books)[2:] == ["expiry: gone -50, expired:EUR +50", "draw: here -50, invoices:EUR +50"]


def test_a_repeated_draw_draws_once(books: Session) -> None:
    grant(books, "welcome", 100)
    assert draw(books, 30) == draw(books, 30, now=at("2026-01-11")) == {"welcome": 30}
    assert balance(books) == 70


def test_a_repeat_with_other_terms_is_refused(books: Session) -> None:
    grant(books, "welcome", 100)
    draw(books, 30)
    with pytest.raises(Conflict, match="another amount or customer"):
        draw(books, 31)


def test_one_reference_is_not_drawn_for_by_two_customers(books: Session) -> None:
    add_customer(books, "globex", currency="EUR")
    grant(books, "welcome", 100)
    draw(books, 30)
    grant_credit(books, "globex", GrantDraft(kind=GrantKind.PAID, amount_minor=30), now=NOW)
    with pytest.raises(Conflict, match="another amount or customer"):
        draw_credit_for(books, Wanted(get_customer(books, "globex").id, "EUR", 30), reference="inv_1", now=NOW)


def test_draws_are_given_back_once_to_where_they_came_from(books: Session) -> None:
    grant(books, "first", 50, priority=1)
    grant(books, "second", 50, priority=2)
    draw(books, 70)
    for _ in range(2):
        assert give_back(books, now=at("2026-01-12")) == {"first": 50, "second": 20}
    assert acts(books)[3:] == ["reversal: first +50, second +20, invoices:EUR -70"]
    assert balance(books, at("2026-01-12")) == 100
    assert problems(books) == []


def test_what_was_given_back_is_not_drawn_for_the_same_reference_again(books: Session) -> None:
    grant(books, "welcome", 100)
    draw(books, 30)
    give_back(books)
    with pytest.raises(Conflict, match="given back"):
        draw(books, 30)
    assert draw(books, 30, "inv_2") == {"welcome": 30}


def test_nothing_drawn_is_nothing_given_back(books: Session) -> None:
    assert give_back(books) == {}


def test_a_plan_of_draws_writes_nothing(books: Session) -> None:
    grant(books, "first", 50, priority=1)
    grant(books, "second", 50, priority=2)
    planned = plan_draws(books, Wanted(acme(books), "EUR", 70), at=NOW)
    assert [(one.grant_name, one.amount_minor) for one in planned] == [("first", 50), ("second", 20)]
    assert balance(books) == 100


def test_credit_is_drawn_once_before_tax_and_once_after_it_and_all_of_it_is_given_back(books: Session) -> None:
    promotional = frozenset({GrantKind.PROMOTIONAL})
    grant(books, "gift", 50, priority=2)
    grant(books, "bought", 50, priority=1, kind=GrantKind.PAID)
    for _ in range(2):
        assert draw(books, 40, kinds=promotional) == {"gift": 40}
        assert draw(books, 55) == {"bought": 50, "gift": 5}
    assert balance(books) == 5
    for _ in range(2):
        assert give_back(books) == {"gift": 5, "bought": 50}  # by name; of the gift 40 and 5
    assert acts(books)[4:] == ["reversal: gift +45, bought +50, invoices:EUR -95"]
    assert balance(books) == 100
    assert problems(books) == []


def notes(session: Session) -> list[str]:
    session.flush()
    return [one.payload["balance"] for one in session.query(Notification).order_by(Notification.happened_at)]


def test_a_top_up_is_asked_for_once_until_the_balance_is_back(books: Session) -> None:
    grant(books, "welcome", 1000)
    set_top_up(books, acme(books), "EUR", TopUpTerms(300, 2000), now=NOW)
    draw(books, 700, "inv_1")
    assert notes(books) == []  # 3.00 is not below 3.00
    draw(books, 1, "inv_2", now=at("2026-01-11"))
    draw(books, 50, "inv_3", now=at("2026-01-12"))
    assert notes(books) == ["2.99"]
    grant(books, "bought", 2000, now=at("2026-01-13"))
    draw(books, 2000, "inv_4", now=at("2026-01-14"))
    assert notes(books) == ["2.99", "2.49"]


def test_a_top_up_that_is_stopped_is_not_asked_for(books: Session) -> None:
    grant(books, "welcome", 1000)
    set_top_up(books, acme(books), "EUR", TopUpTerms(300, 2000), now=NOW)
    stop_top_up(books, acme(books), "EUR", now=NOW)
    draw(books, 900)
    assert notes(books) == []


@pytest.mark.parametrize(("threshold", "amount"), [(0, 5), (5, 0), (10**15 + 1, 5), (5, 10**15 + 1)])
def test_a_top_up_that_could_not_be_granted_is_refused(books: Session, threshold: int, amount: int) -> None:
    with pytest.raises(InvalidInput):
        set_top_up(books, acme(books), "EUR", TopUpTerms(threshold, amount), now=NOW)
