"""Say what usage would cost on a plan, before anybody is on it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from tollkeeper.catalog.spec import Phase, PlanSpec
from tollkeeper.errors import FieldError, InvalidInput
from tollkeeper.rating.rate import rate
from tollkeeper.rating.types import Rated, RatingOptions


@dataclass(frozen=True, slots=True)
class PricedCard:
    """What one rate card would charge for one of its billing periods."""

    key: str
    feature: str | None
    billing_cadence: str
    rated: Rated


def preview_plan(
    spec: PlanSpec,
    quantities: Mapping[str, Decimal],
    *,
    phase_key: str | None = None,
    event_counts: Mapping[str, int] | None = None,
) -> list[PricedCard]:
    """Price a full period of a phase (the last one, unless named) with so much usage of each feature.

    Usage of a feature that is not named is zero. Raises InvalidInput for a phase or a feature that is not
    in the plan.
    """
    phase = _phase_of(spec, phase_key)
    counts = event_counts or {}
    known = {card.feature for card in phase.rate_cards}
    unknown = tuple(_unknown(phase, "quantities", quantities, known)) + tuple(
        _unknown(phase, "event_counts", counts, known)
    )
    if unknown:
        raise InvalidInput(f"{unknown[0].path}: {unknown[0].message}", unknown)
    return [
        PricedCard(
            card.key,
            card.feature,
            card.billing_cadence,
            rate(
                card,
                spec.currency,
                quantities.get(card.feature or "", Decimal(0)),
                options=RatingOptions(event_count=counts.get(card.feature or "", 0)),
            ),
        )
        for card in phase.rate_cards
        if card.price is not None
    ]


def _phase_of(spec: PlanSpec, key: str | None) -> Phase:
    if key is None:
        return spec.phases[-1]
    phase = next((phase for phase in spec.phases if phase.key == key), None)
    if phase is None:
        keys = ", ".join(phase.key for phase in spec.phases)
        raise InvalidInput.of("/phase", f"the plan has no phase {key!r}; it has {keys}")
    return phase


def _unknown(
    phase: Phase, field: str, given: Mapping[str, Decimal] | Mapping[str, int], known: set[str | None]
) -> Iterator[FieldError]:
    for feature in given:
        if feature not in known:
            yield FieldError(f"/{field}/{feature}", f"no rate card of the phase {phase.key!r} is about this feature")
