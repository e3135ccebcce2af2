"""What a grant is worth, when, and what becomes of its rest."""

import pytest
from sqlalchemy.orm import Session

from tests.credits.prepaid import NOW, acme, acts, add_acme, balance, draw, give_back, grant, problems
from tests.shop import add_customer, at
from tollkeeper.credits.expire import expire_due_grants
from tollkeeper.credits.grants import GrantDraft, get_grant, grant_credit, list_grants, void_grant
from tollkeeper.credits.tables import GrantKind
from tollkeeper.customers.customers import update_customer
from tollkeeper.errors import Conflict, InvalidInput, NotFound


@pytest.fixture
def books(session: Session) -> Session:
    """Acme without any credit."""
    add_acme(session)
    return session


def test_a_grant_is_a_transaction_that_sums_to_zero(books: Session) -> None:
    grant(books, "welcome", 5000)
    assert balance(books) == 5000
    assert acts(books) == ["grant: welcome +5000, source:promotional:EUR -5000"]
    assert problems(books) == []


def test_each_kind_has_its_own_source(books: Session) -> None:
    grant(books, "bought", 100, kind=GrantKind.PAID)
    grant(books, "elsewhere", 100, kind=GrantKind.EXTERNAL)
    assert acts(books) == [
        "grant: bought +100, source:paid:EUR -100",
        "grant: elsewhere +100, source:external:EUR -100",
    ]


def test_a_repeat_under_one_key_grants_once(books: Session) -> None:
    first = grant(books, "bought", 100, key="payment-1")
    again = grant(books, "bought", 100, key="payment-1", now=at("2026-01-11"))
    assert again.id == first.id
    assert balance(books) == 100


def test_a_key_with_other_terms_is_refused(books: Session) -> None:
    grant(books, "bought", 100, key="payment-1")
    with pytest.raises(Conflict, match="take a new key"):
        grant(books, "bought", 200, key="payment-1")


def test_credit_counts_from_its_start_and_not_at_its_expiry(books: Session) -> None:
    grant(books, "february", 100, effective_at=at("2026-02-01"), expires_at=at("2026-03-01"))
    assert balance(books, at("2026-01-31T23:59:59")) == 0
    assert balance(books, at("2026-02-01")) == 100
    assert balance(books, at("2026-02-28T23:59:59")) == 100
    assert balance(books, at("2026-03-01")) == 0


def test_a_balance_of_the_past_is_what_it_was(books: Session) -> None:
    grant(books, "welcome", 100)
    draw(books, 30, now=at("2026-01-20"))
    assert (balance(books, at("2026-01-19")), balance(books, at("2026-01-20"))) == (100, 70)


def test_an_expired_rest_leaves_the_books_once(books: Session) -> None:
    grant(books, "welcome", 100, expires_at=at("2026-02-01"))
    draw(books, 30)
    assert expire_due_grants(books, now=at("2026-01-31T23:59:59")) == 0
    assert expire_due_grants(books, now=at("2026-02-01")) == 1
    assert expire_due_grants(books, now=at("2026-02-01")) == 0
    assert acts(books)[-1] == "expiry: welcome -70, expired:EUR +70"
    assert problems(books) == []


def test_expiry_works_through_wallets_in_portions(books: Session) -> None:
    for number in range(5):
        add_customer(books, f"c{number}", currency="EUR")
        draft = GrantDraft(kind=GrantKind.PAID, amount_minor=1, expires_at=at("2026-02-01"))
        grant_credit(books, f"c{number}", draft, now=NOW)
    done = [expire_due_grants(books, now=at("2026-02-02"), limit=2) for _ in range(4)]
    assert done == [2, 2, 1, 0]
    assert problems(books) == []


def test_a_voided_grant_loses_its_rest_and_keeps_its_draws(books: Session) -> None:
    made = grant(books, "welcome", 100)
    draw(books, 30)
    for _ in range(2):
        assert void_grant(books, made.id, now=NOW).voided_at == NOW
    assert acts(books)[1:] == ["draw: welcome -30, invoices:EUR +30", "void: welcome -70, voided:EUR +70"]
    assert balance(books) == 0


@pytest.mark.parametrize("end", ["void", "expiry"])
def test_what_comes_back_to_an_ended_grant_is_lost_at_once(books: Session, end: str) -> None:
    made = grant(books, "welcome", 100, expires_at=at("2026-02-01"))
    draw(books, 30)
    if end == "void":
        void_grant(books, made.id, now=NOW)
    assert give_back(books, now=at("2026-02-02")) == {"welcome": 30}
    assert (
        acts(books)[-1]
        == {
            "void": "void: welcome -30, voided:EUR +30",
            "expiry": "expiry: welcome -30, expired:EUR +30",
        }[end]
    )
    assert get_grant(books, made.id).remaining_minor == 0
    assert expire_due_grants(books, now=at("2026-02-02")) == 0
    assert problems(books) == []


def test_an_expired_grant_may_expire_twice(books: Session) -> None:
    grant(books, "welcome", 100, expires_at=at("2026-02-01"))
    draw(books, 30)
    expire_due_grants(books, now=at("2026-02-01"))
    give_back(books, now=at("2026-02-03"))
    assert [act for act in acts(books) if act.startswith("expiry")] == [
        "expiry: welcome -70, expired:EUR +70",
        "expiry: welcome -30, expired:EUR +30",
    ]


@pytest.mark.parametrize(
    ("least", "most", "drawn", "kept"),
    [
        (0, 1000, 300, 700),  # all of the rest rolls over
        (0, 0, 300, 0),  # nothing does
        (0, 500, 300, 500),  # at most 5.00
        (0, 500, 800, 200),  # of less than that, what is there
        (1000, 1000, 300, 1000),  # an allowance that is filled up
        (400, 600, 900, 400),  # at least 4.00
    ],
)
def test_a_reset_keeps_what_rolls_over(books: Session, least: int, most: int, drawn: int, kept: int) -> None:
    grant(
        books, "monthly", 1000,
        effective_at=at("2026-01-10"), reset_every="P1M", min_rollover_minor=least, max_rollover_minor=most,
    )  # fmt: skip
    draw(books, drawn)
    assert expire_due_grants(books, now=at("2026-02-09")) == 0
    expire_due_grants(books, now=at("2026-02-10"))
    assert balance(books, at("2026-02-10")) == kept
    assert problems(books) == []


def test_missed_resets_are_done_in_order_before_the_expiry(books: Session) -> None:
    grant(
        books, "monthly", 1000, effective_at=NOW, expires_at=at("2026-04-10"),
        reset_every="P1M", min_rollover_minor=1000, max_rollover_minor=1000,
    )  # fmt: skip
    draw(books, 300)
    expire_due_grants(books, now=at("2026-05-01"))
    assert acts(books)[2:] == [
        "reset: monthly +300, source:promotional:EUR -300",
        "expiry: monthly -1000, expired:EUR +1000",
    ]


def test_a_subsidiary_s_credit_is_refused_since_the_payer_s_is_drawn(books: Session) -> None:
    add_customer(books, "north", currency="EUR", parent="acme")
    with pytest.raises(Conflict, match="is paid by 'acme'"):
        grant_credit(books, "north", GrantDraft(kind=GrantKind.PAID, amount_minor=1), now=NOW)


def test_credit_of_another_currency_is_another_balance(books: Session) -> None:
    grant(books, "euros", 100)
    grant(books, "dollars", 900, currency="USD")
    assert balance(books) == 100
    assert draw(books, 500) == {"euros": 100}


@pytest.mark.parametrize(
    ("terms", "path"),
    [
        ({"amount_minor": 0}, "/amount"),
        ({"amount_minor": -5}, "/amount"),
        ({"amount_minor": 10**15 + 1}, "/amount"),
        ({"currency": "XXX"}, "/currency"),
        ({"expires_at": NOW}, "/expires_at"),
        ({"effective_at": at("2026-03-01"), "expires_at": at("2026-02-01")}, "/expires_at"),
        ({"reset_every": "monthly"}, "/reset_every"),
        ({"min_rollover_minor": 5}, "/reset_every"),
        ({"reset_every": "P1M", "min_rollover_minor": 50, "max_rollover_minor": 20}, "/max_rollover"),
        ({"reset_every": "P1M", "max_rollover_minor": 101}, "/max_rollover"),
    ],
)
def test_a_wrong_grant_is_refused_at_its_field(books: Session, terms: dict[str, object], path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        grant(books, "wrong", **{"amount": 100} | {"amount" if k == "amount_minor" else k: v for k, v in terms.items()})
    assert [field.path for field in refused.value.fields] == [path]


def test_grants_are_listed_oldest_first_by_page(books: Session) -> None:
    made = sorted(grant(books, f"g{number}", 10).id for number in range(3))
    first = list_grants(books, acme(books), limit=2)
    assert [one.id for one in first] == made[:2]
    assert [one.id for one in list_grants(books, acme(books), after=first[-1].id)] == made[2:]


def test_an_unknown_grant_is_not_found(books: Session) -> None:
    with pytest.raises(NotFound):
        void_grant(books, "crg_0", now=NOW)


def test_credit_of_a_customer_who_pays_itself_no_more_stays_its_own(books: Session) -> None:
    grant(books, "welcome", 100)
    add_customer(books, "group", currency="EUR")
    update_customer(books, "acme", {"parent": "group"})
    assert balance(books) == 100
