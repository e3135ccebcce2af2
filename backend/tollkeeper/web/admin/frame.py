"""The admin pages put together: who may see them, what every template knows, which pages there are."""

from datetime import datetime

from flask import Blueprint, Flask, Response, g, redirect, render_template, request, url_for
from flask.sessions import SecureCookieSessionInterface
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.exceptions import BadRequest

from tollkeeper.web.admin import (
    add_ons,
    api_keys,
    audit_log,
    coupons,
    customer_billing,
    customers,
    entitlement_templates,
    formats,
    health,
    invoice_acts,
    invoices,
    legal_entities,
    move_consumer,
    nodes,
    plan_desk,
    plans,
    sign_in,
    subscription,
    subscriptions,
    tax_rates,
    today,
    unmapped,
    usage,
)
from tollkeeper.web.context import web_context
from tollkeeper.web.errors import Problem

# In the order of the navigation: a heading ("" for none), then endpoint and label of each page below it.
NAVIGATION = (
    (
        "",
        (
            ("admin.today.show", "Today"),
            ("admin.customers.show_list", "Customers"),
            ("admin.unmapped.show", "Unmapped traffic"),
            ("admin.usage.show", "Usage"),
        ),
    ),
    (
        "What is sold",
        (
            ("admin.plans.show_list", "Plans"),
            ("admin.add_ons.show_list", "Add-ons"),
            ("admin.entitlement_templates.show_list", "Entitlement templates"),
            ("admin.coupons.show_list", "Coupons"),
        ),
    ),
    (
        "Billing",
        (
            ("admin.invoices.show_list", "Invoices"),
            ("admin.legal_entities.show_list", "Legal entities"),
            ("admin.tax_rates.show_list", "Tax rates"),
        ),
    ),
    (
        "Operation",
        (
            ("admin.nodes.show_list", "Gateway nodes"),
            ("admin.api_keys.show_list", "API keys"),
            ("admin.audit_log.show", "Audit log"),
            ("admin.health.show", "Settings and health"),
        ),
    ),
)
PAGES = (
    sign_in,
    today,
    customers,
    customer_billing,
    move_consumer,
    subscriptions,
    subscription,
    unmapped,
    usage,
    plans,
    plan_desk,
    add_ons,
    entitlement_templates,
    coupons,
    invoices,
    invoice_acts,
    legal_entities,
    tax_rates,
    nodes,
    api_keys,
    audit_log,
    health,
)

blueprint = Blueprint(
    "admin",
    __name__,
    url_prefix="/admin",
    template_folder="templates",
    static_folder="static",
    static_url_path="/static",
)
for page in PAGES:
    blueprint.register_blueprint(page.blueprint)

csrf = CSRFProtect()


class AdminSessions(SecureCookieSessionInterface):
    """Session cookies that are for https only wherever the page came by https (behind a proxy too)."""

    def get_cookie_secure(self, app: Flask) -> bool:
        """Say whether the browser may send the cookie over https only."""
        return request.is_secure


def install_admin(app: Flask) -> None:
    """Add the admin pages to the application."""
    app.config.update(
        SESSION_COOKIE_NAME="tollkeeper_admin",
        SESSION_COOKIE_PATH="/admin",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        # The API is called with keys, not cookies: only the pages are checked, by _guard.
        WTF_CSRF_CHECK_DEFAULT=False,
        WTF_CSRF_TIME_LIMIT=None,
    )
    app.session_interface = AdminSessions()
    csrf.init_app(app)
    formats.register_formats(app)
    app.add_url_rule("/", "front_door", lambda: redirect(url_for("admin.today.show")))
    app.register_blueprint(blueprint)


def render_problem(problem: Problem) -> Response:
    """Render an error for people, inside the frame if they are signed in."""
    template = "admin/problem.html" if "admin" in g else "admin/problem_outside.html"
    return Response(render_template(template, problem=problem), problem.status, mimetype="text/html")


@blueprint.before_request
def _guard() -> ResponseReturnValue | None:
    if request.endpoint == "admin.static":
        return None
    _refuse_nul()
    # who is not signed in is told that, not that the form is too old: the token went with the session
    if request.endpoint not in sign_in.OPEN_ENDPOINTS and not sign_in.find_admin_of_browser():
        return _ask_to_sign_in()
    csrf.protect()
    return None


def _ask_to_sign_in() -> ResponseReturnValue:
    if request.headers.get("HX-Request"):
        # htmx follows a redirect silently and would put the sign-in page into a table row
        return Response(status=401, headers={"HX-Redirect": url_for("admin.sign_in.show")})
    target = request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect(url_for("admin.sign_in.show", next=target))


def _refuse_nul() -> None:
    """Refuse a NUL character wherever it was sent: PostgreSQL takes none, in a look-up neither."""
    sent = [*(request.view_args or {}).values(), *(text for _, texts in request.values.lists() for text in texts)]
    if any("\x00" in str(text) for text in sent):
        raise BadRequest("The address or the form holds a NUL character; leave it out.")


@blueprint.errorhandler(CSRFError)
def _explain_csrf(_error: CSRFError) -> Response:
    detail = "This form was open for too long or comes from another site. Go back, reload and try again."
    return render_problem(Problem(400, "csrf", detail))


@blueprint.app_context_processor
def _known_to_every_template() -> dict[str, object]:
    return {"navigation": NAVIGATION, "now": _now, "admin": g.get("admin")}


def _now() -> datetime:
    return web_context().clock.now()
