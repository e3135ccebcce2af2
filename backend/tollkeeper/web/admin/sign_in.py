"""Sign in and out: a token in a signed cookie, its digest on our side, so that signing out ends it."""

import threading
from datetime import timedelta
from urllib.parse import urlsplit

from flask import Blueprint, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from tollkeeper.access.admins import (
    check_password,
    end_sign_in,
    find_sign_in,
    note_sight,
    sight_is_due,
    start_sign_in,
)
from tollkeeper.web.context import snapshot, transaction, web_context
from tollkeeper.web.limits import FailureLimit

blueprint = Blueprint("sign_in", __name__)

OPEN_ENDPOINTS = {"admin.sign_in.show", "admin.sign_in.check"}
TOKEN = "sign_in"  # noqa: S105  # the name under which the cookie holds the token

# By address and by name: neither many names from one place nor one name from many places can be tried at will.
failures_by_address = FailureLimit(most=20, window=timedelta(minutes=15))
failures_by_name = FailureLimit(most=10, window=timedelta(minutes=15))

# A check takes 64 MiB and a twentieth of a second by argon2's defaults: without a limit, strangers who send forms
# would take the memory and the threads that the gateways' requests need.
PASSWORDS_AT_ONCE = 2
MOST_SECONDS_TO_WAIT = 1
password_checks = threading.BoundedSemaphore(PASSWORDS_AT_ONCE)


@blueprint.get("/sign-in")
def show() -> ResponseReturnValue:
    """Show the form; who is signed in goes on to the pages."""
    if find_admin_of_browser():
        return redirect(_safe_target(request.args.get("next")))
    return render_template("admin/sign_in.html", name="", target=request.args.get("next", ""))


@blueprint.post("/sign-in")
def check() -> ResponseReturnValue:
    """Check name and password and open a sign-in under a new session, so that no earlier cookie is worth anything."""
    if not password_checks.acquire(timeout=MOST_SECONDS_TO_WAIT):
        return _refuse("Too many people sign in at this moment. Try again.", wait_seconds=MOST_SECONDS_TO_WAIT)
    try:
        return _check_password()
    finally:
        password_checks.release()


def _check_password() -> ResponseReturnValue:
    now = web_context().clock.now()
    name, address = request.form.get("name", "").strip(), request.remote_addr or "unknown"
    wait = max(failures_by_address.seconds_to_wait(address, now=now), failures_by_name.seconds_to_wait(name, now=now))
    if wait:
        return _refuse(f"Too many wrong passwords. Try again in {-(-wait // 60)} minutes.", wait_seconds=wait)
    with snapshot() as reading:
        admin = check_password(reading, name, request.form.get("password", ""))
    if admin is None:
        failures_by_address.note_failure(address, now=now)
        failures_by_name.note_failure(name, now=now)
        return _form("Name or password is wrong."), 422
    failures_by_name.forget(name)
    with transaction() as writing:
        token = start_sign_in(writing, admin.id, now=now)
    session.clear()
    session[TOKEN] = token
    return redirect(_safe_target(request.form.get("next", "")))


def _refuse(message: str, *, wait_seconds: int) -> ResponseReturnValue:
    return _form(message), 429, {"Retry-After": str(wait_seconds)}


def _form(error: str) -> str:
    name, target = request.form.get("name", ""), request.form.get("next", "")
    return render_template("admin/sign_in.html", name=name, target=target, error=error)


@blueprint.post("/sign-out")
def leave() -> ResponseReturnValue:
    """End the sign-in here and in the browser."""
    with transaction() as writing:
        end_sign_in(writing, session.get(TOKEN, ""))
    session.clear()
    return redirect(url_for("admin.sign_in.show"))


def find_admin_of_browser() -> bool:
    """Find who is signed in and keep it in `g.admin`; say whether somebody is."""
    token = session.get(TOKEN)
    if not token:
        return False
    now = web_context().clock.now()
    with snapshot() as reading:
        found = find_sign_in(reading, token, now=now)
    if found is None:
        return False
    g.admin, sign_in = found
    if sight_is_due(sign_in, now=now):
        with transaction(is_act=False) as writing:
            note_sight(writing, token, now=now)
    return True


def _safe_target(target: str | None) -> str:
    """Return where to go on to, inside /admin; a link from elsewhere cannot send people to another site."""
    if target and target.isprintable() and "\\" not in target:
        try:
            parts = urlsplit(target)
        except ValueError:  # a bracket without its other half
            return url_for("admin.today.show")
        if not parts.scheme and not parts.netloc and parts.path.startswith("/admin/"):
            return target
    return url_for("admin.today.show")
