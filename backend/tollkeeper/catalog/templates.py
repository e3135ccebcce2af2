"""Entitlement templates: one entitlement under a name, for the rate cards of many plans.

A plan that names a template gets its content when the draft is saved: a template that changes later changes no
plan, and no version that was published.
"""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.catalog.add_on_spec import AddOnSpec
from tollkeeper.catalog.spec import Entitlement, PlanSpec, RateCard, TemplateEntitlement
from tollkeeper.catalog.tables import EntitlementTemplate
from tollkeeper.errors import InvalidInput, NotFound
from tollkeeper.storage.ids import new_id
from tollkeeper.storage.upsert import insert_into

Spec = PlanSpec | AddOnSpec


class _Held(BaseModel):
    entitlement: Entitlement


def put_template(
    session: Session, key: str, name: str, entitlement: Entitlement, *, now: datetime
) -> EntitlementTemplate:
    """Make the template or give it another content; a repeat changes nothing. Raises InvalidInput for a nested one."""
    if isinstance(entitlement, TemplateEntitlement):
        raise InvalidInput.of("/entitlement/type", "a template holds an entitlement, not another template")
    content = entitlement.model_dump(mode="json")
    row = {"id": new_id("tmpl"), "key": key, "name": name, "entitlement": content, "created_at": now}
    insert = insert_into(session, EntitlementTemplate).values(row)
    newer = {"name": name, "entitlement": content}
    session.execute(insert.on_conflict_do_update(index_elements=["key"], set_=newer))
    template = get_template(session, key)
    session.refresh(template)
    return template


def get_template(session: Session, key: str) -> EntitlementTemplate:
    """Return a template by its key; raises NotFound."""
    template = session.scalar(select(EntitlementTemplate).where(EntitlementTemplate.key == key))
    if template is None:
        raise NotFound(f"there is no entitlement template {key!r}")
    return template


def list_templates(session: Session, *, after: str | None = None, limit: int = 100) -> Sequence[EntitlementTemplate]:
    """Return templates by age, after the id of the last one seen."""
    query = select(EntitlementTemplate).order_by(EntitlementTemplate.id).limit(limit)
    return session.scalars(query if after is None else query.where(EntitlementTemplate.id > after)).all()


def delete_template(session: Session, key: str) -> None:
    """Forget a template; plans that were made with it keep its content. Raises NotFound."""
    session.delete(get_template(session, key))
    session.flush()


def content_of(template: EntitlementTemplate) -> Entitlement:
    """Return the entitlement that a template holds."""
    return _Held.model_validate({"entitlement": template.entitlement}).entitlement


def fill_in(session: Session, spec: Spec) -> Spec:
    """Return the content with each named template's entitlement in its place; raises InvalidInput for unknown ones."""
    if isinstance(spec, AddOnSpec):
        return spec.model_copy(update={"rate_cards": _cards(session, spec.rate_cards, "")})
    phases = tuple(
        phase.model_copy(update={"rate_cards": _cards(session, phase.rate_cards, f"/phases/{place}")})
        for place, phase in enumerate(spec.phases)
    )
    return spec.model_copy(update={"phases": phases})


def fill_in_card(session: Session, card: RateCard, path: str) -> RateCard:
    """Return one rate card with its template's entitlement; raises InvalidInput with the path below `path`."""
    if not isinstance(card.entitlement, TemplateEntitlement):
        return card
    key = card.entitlement.template
    template = session.scalar(select(EntitlementTemplate).where(EntitlementTemplate.key == key))
    if template is None:
        raise InvalidInput.of(f"{path}/entitlement/template", f"there is no entitlement template {key!r}")
    return card.model_copy(update={"entitlement": content_of(template)})


def _cards(session: Session, cards: Sequence[RateCard], path: str) -> tuple[RateCard, ...]:
    return tuple(fill_in_card(session, card, f"{path}/rate_cards/{place}") for place, card in enumerate(cards))
