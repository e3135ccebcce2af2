"""Read the routes and services that Kong has, to name them in scopes."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from tollkeeper.entitlements.scope import KnownTraffic
from tollkeeper.kong.tables import KongRoute, KongService


def load_known_traffic(session: Session) -> KnownTraffic:
    """Return the names of Kong's routes and services by id; empty while Kong was not read.

    One without a name stands in usage records under its id.
    """
    routes = {row.id: row.name or row.id for row in session.execute(select(KongRoute.id, KongRoute.name))}
    services = {row.id: row.name or row.id for row in session.execute(select(KongService.id, KongService.name))}
    return KnownTraffic(routes, services)
