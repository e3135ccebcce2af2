"""An event is cut into shared dimensions and its own payload, and comes back whole."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tollkeeper.metering.cut import cut_event
from tollkeeper.metering.dimensions import join_data, split_data
from tollkeeper.metering.event import Event, EventRefused, KongEvent, read_event

thorough = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
word = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
whole = st.integers(0, 10**12)
number = whole | st.integers(-(10**20), 10**20) | st.decimals(allow_nan=False, allow_infinity=False, places=3) | word
maybe_word = st.none() | word


def shape(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


json_value = st.recursive(st.none() | st.booleans() | number, lambda inner: st.lists(inner, max_size=2), max_leaves=3)
kong_data = shape(
    route=maybe_word,
    service=maybe_word,
    method=maybe_word,
    status=st.none() | st.integers(0, 999),
    origin=maybe_word,
    credential=maybe_word,
    consumer=st.none() | shape(id=maybe_word, username=maybe_word, custom_id=maybe_word, team=json_value),
    latency_ms=json_value | shape(request=number, kong=number, upstream=number),
    bytes=json_value | shape(request=number, response=number),
    llm=st.none()
    | shape(
        provider=maybe_word,
        model=maybe_word,
        stream=st.none() | st.booleans(),
        input_tokens=number | json_value,
        output_tokens=number,
        cached_tokens=number,
        reasoning_tokens=number,
        cost=json_value,
        region=json_value,
    ),
    refused=st.none() | shape(code=maybe_word, limit_id=maybe_word, since=json_value),
    weather=json_value,
)


@thorough
@given(kong_data)
def test_nothing_of_an_event_is_lost_by_cutting_it(data: dict[str, Any]) -> None:
    split = split_data("kong.request", data)
    assert join_data("kong.request", msgspec.to_builtins(split.dimensions), split.payload) == data


@thorough
@given(json_value | st.dictionaries(word, json_value, max_size=3))
def test_data_of_another_type_comes_back_as_it_was(data: Any) -> None:
    split = split_data("job.done", data)
    assert join_data("job.done", {}, split.payload) == data


@thorough
@given(kong_data)
def test_the_fast_way_cuts_an_event_as_the_general_way_does(data: dict[str, Any]) -> None:
    sent = {"specversion": "1.0", "id": "1", "source": "s", "type": "kong.request", "subject": "a", "time": "t"}
    raw = msgspec.json.Encoder(decimal_format="number").encode({**sent, "data": data})
    event = read_event(raw)
    general = msgspec.json.Decoder(Event, float_hook=Decimal).decode(raw)
    assert cut_event(event) == cut_event(general)


def test_the_contract_s_events_take_the_fast_way() -> None:
    contract = json.loads((Path(__file__).parent.parent / "contract/usage-events.json").read_text())
    events = [case["event"] for case in contract]
    assert len(events) == 3
    for event in events:
        assert type(read_event(json.dumps(event, separators=(",", ":")).encode())) is KongEvent


def test_a_usual_request_keeps_a_few_bytes_of_its_own() -> None:
    data = {
        "route": "flights",
        "status": 200,
        "latency_ms": {"request": 11, "kong": 2, "upstream": 8},
        "bytes": {"request": 206, "response": 656},
    }
    assert len(split_data("kong.request", data).payload) < 12


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"status": 2.5}, "/data/status: expected `int | null`, got `float`"),
        ({"status": 1000}, "/data/status: expected `int` <= 999"),
        ({"consumer": "alice"}, "/data/consumer: expected `object | null`, got `str`"),
        ({"consumer": {"username": 5}}, "/data/consumer/username: expected `str | null`, got `int`"),
        ({"route": "x" * 257}, "/data/route: expected `str` of length <= 256"),
        ("text", "/data: must be an object"),
    ],
)
def test_a_dimension_of_a_wrong_type_is_refused_by_its_path(data: Any, error: str) -> None:
    with pytest.raises(EventRefused, match=error.replace("|", r"\|")):
        split_data("kong.request", data)
