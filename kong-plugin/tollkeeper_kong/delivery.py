"""Bring a batch of records to the backend so that each is answered: taken, or set aside with a reason."""

from collections.abc import Sequence
from dataclasses import dataclass

from tollkeeper_kong.backend_client import BackendClient, Invalid, TooLarge
from tollkeeper_kong.set_aside import SetAside


@dataclass(slots=True)
class Delivered:
    """What became of the records of a batch."""

    accepted: int = 0
    duplicates: int = 0
    set_aside: int = 0


def deliver(client: BackendClient, records: Sequence[bytes], set_aside: SetAside) -> Delivered:
    """Send records until every one is answered; repeat after an error as a whole: the backend knows what it has.

    A batch that is refused as a whole is halved until the record that is to blame stands alone; that one is set aside.
    Raises BackendAway, NotTheBackend, KeyRefused; OSError if a refused record cannot be set aside.
    """
    outcome = Delivered()
    waiting = [records]
    while waiting:
        batch = waiting.pop()
        try:
            answer = client.send_events(batch)
        except (Invalid, TooLarge) as error:
            if len(batch) > 1:
                middle = len(batch) // 2
                waiting += [batch[middle:], batch[:middle]]
                continue
            refused = [(batch[0], str(error))]
        else:
            outcome.accepted += answer.accepted
            outcome.duplicates += answer.duplicates
            refused = [(batch[rejected.index], rejected.error) for rejected in answer.rejected]
        set_aside.keep(refused)
        outcome.set_aside += len(refused)
    return outcome
