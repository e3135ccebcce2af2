"""The Admin API is read page by page; errors say what to try."""

from collections.abc import Iterator

import pytest
import requests
import requests_mock

from tollkeeper.errors import InvalidInput, Unavailable
from tollkeeper.kong.admin_api import read_admin_api

URL = "http://127.0.0.1:8001"


@pytest.fixture
def kong() -> Iterator[requests_mock.Mocker]:
    with requests_mock.Mocker() as mocker:
        for kind in ("consumers", "services", "routes"):
            mocker.get(f"{URL}/{kind}?size=1000", json={"data": [], "next": None})
        yield mocker


def test_every_page_is_read_and_the_token_is_sent(kong: requests_mock.Mocker) -> None:
    alice = {"id": "1", "username": "alice", "custom_id": None, "tags": None}
    kong.get(f"{URL}/consumers?size=1000", json={"data": [alice], "next": "/consumers?offset=x"})
    kong.get(f"{URL}/consumers?offset=x", json={"data": [{"id": "2", "custom_id": "b", "tags": ["t"]}], "next": None})
    kong.get(f"{URL}/services?size=1000", json={"data": [{"id": "s", "name": "echo"}]})
    kong.get(
        f"{URL}/routes?size=1000",
        json={"data": [{"id": "r", "name": "keyed", "service": {"id": "s"}, "paths": ["/k"], "methods": None}]},
    )
    config = read_admin_api(URL + "/", token="secret")
    assert [(one.id, one.username, one.custom_id, one.tags) for one in config.consumers] == [
        ("1", "alice", None, ()),
        ("2", None, "b", ("t",)),
    ]
    assert [(one.service_id, one.paths) for one in config.routes] == [("s", ("/k",))]
    assert {request.headers["Kong-Admin-Token"] for request in kong.request_history} == {"secret"}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"status_code": 401}, "asks for a token"),
        ({"status_code": 404, "json": {}}, "answered 404 and no list"),
        ({"text": "<html>"}, "answered 200 and no list"),
        ({"json": {"data": [{"name": "x"}]}}, "answered 200 and no list"),
        ({"json": {"data": [], "next": "http://elsewhere/"}}, "next page at another address"),
    ],
)
def test_what_is_no_admin_api_is_told(kong: requests_mock.Mocker, answer: dict[str, object], error: str) -> None:
    kong.get(f"{URL}/consumers?size=1000", **answer)
    with pytest.raises(InvalidInput, match=error):
        read_admin_api(URL)


def test_an_admin_api_that_is_away_is_named_without_its_password(kong: requests_mock.Mocker) -> None:
    kong.get(requests_mock.ANY, exc=requests.ConnectTimeout)
    with pytest.raises(Unavailable, match=r"at http://kong:8001 does not answer \(ConnectTimeout\)"):
        read_admin_api("http://admin:hush@kong:8001")


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidInput, match="is no address"):
        read_admin_api("file:///etc/passwd")
