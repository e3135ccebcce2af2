"""A person with a browser, as far as the Flask client goes: fetches a form's token and submits the form."""

import re
from html import unescape

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.web.seeded import ADMIN, PASSWORD

TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


class Visitor:
    """Wraps a client; keeps its cookies."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def get(self, path: str, **more: str) -> TestResponse:
        """Open a page."""
        return self.client.get(path, headers=more)

    def text(self, path: str) -> str:
        """Return what a page says, without its tags."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.status
        return text_of(answer)

    def submit(self, path: str, *, on: str | None = None, **fields: str | list[str]) -> TestResponse:
        """Submit a form to `path` with the token of the page `on` (by default the same)."""
        token = TOKEN.search(self.get(on or path).get_data(as_text=True))
        assert token is not None, "the page has no form"
        return self.client.post(path, data={"csrf_token": token[1], **fields})

    def sign_in(self, name: str = ADMIN, password: str = PASSWORD, target: str = "") -> TestResponse:
        """Sign in by the form."""
        return self.submit("/admin/sign-in", name=name, password=password, next=target)


def text_of(answer: TestResponse) -> str:
    """Return the words of a page in one line."""
    without_tags = re.sub(r"<(script|head).*?</\1>|<[^>]+>", " ", answer.get_data(as_text=True), flags=re.DOTALL)
    return " ".join(unescape(without_tags).split())
