"""Headers that every answer carries, and the key that signs the admin's cookies."""

import os
import secrets
from pathlib import Path

from flask import Flask, Response, request

from tollkeeper.errors import InvalidInput

# Pages load scripts, styles and images from this server only; nothing inline, no frames, forms to ourselves.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
API_POLICY = "default-src 'none'; frame-ancestors 'none'"
ONE_YEAR_SECONDS = 31_536_000


def register_security_headers(app: Flask) -> None:
    """Add the headers to every answer of the application."""
    app.after_request(_secure)


def load_or_make_secret_key(folder: Path) -> str:
    """Return the key kept in the folder; the first caller makes it, readable by its user alone.

    Raises InvalidInput if the folder may not be written.
    """
    path = folder / "session.key"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make_secret_key(path)
        return path.read_text().strip()
    except OSError as error:
        raise InvalidInput.of(
            "/TOLLKEEPER_DATA_DIR",
            f"the session key cannot be kept in {folder} ({error.strerror}); name a folder that may be written",
        ) from None


def _make_secret_key(path: Path) -> None:
    draft = path.with_name(f".session.key.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
    try:
        # a link fails where a rename would overwrite: of two processes that start at once, one makes the key
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _secure(response: Response) -> Response:
    is_page = response.mimetype == "text/html"
    headers = response.headers
    headers.setdefault("Content-Security-Policy", PAGE_POLICY if is_page else API_POLICY)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("X-Frame-Options", "DENY")
    headers.setdefault("Referrer-Policy", "same-origin")
    headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    headers.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
    if is_page or request.path.startswith("/api/"):
        headers.setdefault("Cache-Control", "no-store")
    if request.is_secure:
        headers.setdefault("Strict-Transport-Security", f"max-age={ONE_YEAR_SECONDS}")
    return response
