"""Keep the ledger as it was written: nothing changes it, and PostgreSQL refuses a transaction that is uneven.

SQLite has no check at the commit; there the sum to zero is kept by `post` (ledger.py) and looked after by books.py.
"""

from collections.abc import Iterator

from tollkeeper.credits.tables import CreditAccount, CreditEntry, CreditGrant, CreditTransaction
from tollkeeper.storage.append_only import Kept, keep_append_only, keep_rows, pin_search_path, run_after_create

# What becomes of a grant; everything else is what was granted.
LIVING_COLUMNS = frozenset({"remaining_minor", "voided_at", "next_act_at"})
REFUSAL = "the ledger of credit never changes"
FIXED_COLUMNS = keep_rows(CreditGrant.__table__, Kept(message=REFUSAL, living=LIVING_COLUMNS))

for _table in (CreditAccount.__table__, CreditTransaction.__table__, CreditEntry.__table__):
    keep_append_only(_table, REFUSAL)


def _refuse_uneven() -> Iterator[str]:
    uneven = "(SELECT sum(amount_minor) FROM credit_entries WHERE transaction_id = NEW.transaction_id) <> 0"
    refuse = "RAISE EXCEPTION 'the entries do not sum to zero' USING ERRCODE = 'integrity_constraint_violation'"
    yield (
        "CREATE OR REPLACE FUNCTION tollkeeper_even_credit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {uneven} THEN {refuse}; END IF; RETURN NULL; END $$"
    )
    yield pin_search_path("tollkeeper_even_credit")
    yield (
        "CREATE CONSTRAINT TRIGGER credit_entries_are_even AFTER INSERT ON credit_entries "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tollkeeper_even_credit()"
    )


run_after_create(CreditEntry.__table__, "postgresql", _refuse_uneven())
