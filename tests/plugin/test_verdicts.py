"""May it pass? Worked out by hand from the feed's words and from what the node let pass itself."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tollkeeper_kong.feed import NotAFeed, read_feed
from tollkeeper_kong.schema import Policy
from tollkeeper_kong.snapshot import RequestScope, SnapshotBuilder
from tollkeeper_kong.verdicts import Verdicts

CONTRACT: dict[str, Any] = json.loads((Path(__file__).parent.parent / "contract/verdicts.json").read_text())
ALICE = "consumer:b32379d9-3d28-5683-a79c-72139be6e34f"
GLOBEX = "consumer:7d2f8a52-9f0e-5d04-9a8e-0f1c1e0f5a11"
FLIGHTS = RequestScope(route_name="flights", method="GET")
BOOKINGS = RequestScope(route_name="bookings", method="GET")
OPEN = Policy()


class Node:
    """A node with a clock of its own and whatever the feed says."""

    def __init__(self) -> None:
        self.clock = 1000.0
        self.unshipped_seconds = 0.0
        self.verdicts = Verdicts(monotonic=lambda: self.clock)
        self._builder = SnapshotBuilder()
        self._cursor = 0

    def hears(self, *limits: dict[str, Any], subject: str = ALICE, **frame: Any) -> None:
        """Take an answer of the feed about one subject."""
        self.hears_feed(subjects=[{"subject": subject, "customer": "acme", "limits": list(limits)}], **frame)

    def hears_feed(self, **feed: Any) -> None:
        self._cursor += 1
        answer = {"cursor": str(self._cursor), "full": self._cursor == 1, "removed": [], "subjects": []}
        answer |= {"generated_at": "2026-11-22T07:30:00.000Z"} | feed
        content = json.dumps(answer).encode()
        snapshot = self._builder.apply(read_feed([content]), received_at=self.clock)
        self.verdicts.replace(snapshot, unshipped_seconds=self.unshipped_seconds)

    def passes(self, request: RequestScope = FLIGHTS, *, subject: str = ALICE, policy: Policy = OPEN) -> bool:
        return self.verdicts.decide(subject, request, policy).is_allowed

    def passes_of(self, asked: int, request: RequestScope = FLIGHTS) -> int:
        """Return how many of so many requests pass."""
        return sum(self.passes(request) for _ in range(asked))


def limit(**more: Any) -> dict[str, Any]:
    scope: dict[str, list[str]] = {
        name: [] for name in ("routes", "route_ids", "services", "service_ids", "methods", "models")
    }
    scope |= more.pop("scope", {})
    plain = {"id": "lim_1", "feature": "flights_ok", "scope": scope, "kind": "requests", "state": "allow"}
    plain |= {"reason": None, "code": "quota_exhausted", "limit": "1000", "used": "0", "hard": True, "status": 429}
    return plain | {"resets_at": "2026-12-01T00:00:00.000Z"} | more


@pytest.fixture
def node() -> Node:
    return Node()


def test_the_contract_s_own_example_is_refused_with_its_reason(node: Node) -> None:
    node.hears_feed(**CONTRACT)
    decision = node.verdicts.decide(ALICE, FLIGHTS, Policy(docs_url="https://example.com/limits"))
    assert (decision.is_allowed, decision.status, decision.code, decision.limit_id) == (
        False,
        429,
        "quota_exhausted",
        "lim_1",
    )
    assert json.loads(decision.body) == {
        "message": "1000 of 1000 used",
        "code": "quota_exhausted",
        "limit_id": "lim_1",
        "feature": "flights_ok",
        "limit": "1000",
        "used": "1000",
        "resets_at": "2026-12-01T00:00:00.000Z",
        "docs_url": "https://example.com/limits",
    }
    seconds = str(16 * 3600 + 30 * 60 + 8 * 86400)  # from 22 November 07:30 to 1 December
    assert decision.headers == {
        "Content-Type": "application/json; charset=utf-8",
        "X-Tollkeeper-Refused": "quota_exhausted lim_1",
        "Retry-After": seconds,
        "RateLimit-Limit": "1000",
        "RateLimit-Remaining": "0",
        "RateLimit-Reset": seconds,
    }


def test_the_contract_s_example_concerns_its_route_alone(node: Node) -> None:
    node.hears_feed(**CONTRACT)
    by_id = RequestScope(route_id="e0b0d1b3-a05e-5b17-bb4f-372aec007573")
    assert not node.passes(by_id)
    assert node.passes(BOOKINGS)
    assert node.passes(RequestScope()), "a request that matched no route is on no route of the limit"
    assert node.passes(FLIGHTS, subject=GLOBEX)


@pytest.mark.parametrize(
    ("scope", "request_scope", "is_covered"),
    [
        ({}, RequestScope(), True),
        ({"methods": ["POST"]}, RequestScope(method="POST"), True),
        ({"methods": ["POST"]}, RequestScope(method="GET"), False),
        ({"services": ["ai"]}, RequestScope(service_name="ai"), True),
        ({"service_ids": ["s1"]}, RequestScope(service_id="s1"), True),
        ({"service_ids": ["s1"], "services": ["ai"]}, RequestScope(service_id="s2", service_name="ai"), True),
        ({"service_ids": ["s1"]}, RequestScope(service_id="s2", service_name="s1"), False),
        ({"models": ["gpt-4o"]}, RequestScope(model="gpt-4o"), True),
        ({"models": ["gpt-4o"]}, RequestScope(model=None), False),
        ({"routes": ["chat"], "methods": ["POST"]}, RequestScope(route_name="chat", method="GET"), False),
        ({"routes": ["chat"], "methods": ["POST"]}, RequestScope(route_name="chat", method="POST"), True),
    ],
)
def test_a_limit_concerns_what_its_scope_names(
    scope: dict[str, list[str]], request_scope: RequestScope, is_covered: bool, node: Node
) -> None:
    node.hears(limit(state="deny", used="1000", scope=scope))
    assert node.passes(request_scope) is not is_covered


def test_a_node_counts_its_own_passes_down_to_the_limit(node: Node) -> None:
    node.hears(limit(used="990"))
    assert node.passes_of(30) == 10
    decision = node.verdicts.decide(ALICE, FLIGHTS, OPEN)
    assert json.loads(decision.body)["used"] == "1000"
    assert json.loads(decision.body)["message"] == "1000 of 1000 used"


def test_a_single_node_neither_overruns_nor_refuses_early_however_the_feed_lags(node: Node) -> None:
    node.hears(limit(used="0"))
    passed = node.passes_of(400)
    node.clock += 1
    node.hears(limit(used="250"))  # 150 are still on their way
    passed += node.passes_of(400)
    node.clock += 1
    node.hears(limit(used="800"))
    passed += node.passes_of(400)
    assert passed == 1000


def test_passes_that_the_backend_did_not_count_are_given_back(node: Node) -> None:
    node.hears(limit(used="0", limit="10"))
    assert node.passes_of(20) == 10
    node.clock += 5
    node.hears_feed()
    assert not node.passes(), "they may still be on their way"
    node.clock += 6
    node.hears_feed()
    assert node.passes_of(20) == 10, "all of them failed: a limit on successful calls does not count them"


def test_passes_whose_records_wait_in_the_spool_stay_counted_however_new_the_snapshot(node: Node) -> None:
    node.hears(limit(used="0", limit="10"))
    assert node.passes_of(20) == 10
    for minutes in range(1, 10):
        node.clock += 60
        node.unshipped_seconds = minutes * 60.0
        node.hears_feed()
        assert not node.passes(), "the feed is well, but the backend takes no events"


def test_without_a_word_from_the_backend_own_passes_stay_counted(node: Node) -> None:
    node.hears(limit(used="0", limit="10"))
    assert node.passes_of(20) == 10
    for _ in range(50):
        node.clock += 10
        assert not node.passes()


def test_many_seconds_of_silence_lose_no_pass(node: Node) -> None:
    node.hears(limit(used="0", limit="500"))
    passed = 0
    for _ in range(300):
        node.clock += 1
        passed += node.passes_of(2)
    assert passed == 500


def test_only_hard_limits_on_requests_are_counted_down(node: Node) -> None:
    node.hears(limit(used="999", hard=False), limit(id="lim_2", kind="tokens", used="999"))
    assert node.passes_of(5) == 5


def test_a_warning_passes(node: Node) -> None:
    node.hears(limit(state="warn", used="900", reason="90 % used"))
    assert node.passes()


def test_a_customer_s_consumers_share_its_limit(node: Node) -> None:
    bob = "consumer:bob"
    both = [{"subject": subject, "customer": "acme", "limits": [limit(limit="10")]} for subject in (ALICE, bob)]
    node.hears_feed(subjects=both)
    passed = sum(node.passes(subject=subject) for subject in [ALICE, bob] * 10)
    assert passed == 10


def test_each_limit_that_covers_a_request_is_counted_and_the_first_that_is_spent_refuses(node: Node) -> None:
    node.hears(limit(limit="100"), limit(id="lim_2", feature="gets", limit="5", scope={"methods": ["GET"]}))
    assert node.passes_of(8) == 5
    assert node.verdicts.decide(ALICE, FLIGHTS, OPEN).limit_id == "lim_2"
    assert node.passes_of(200, RequestScope(method="POST")) == 95, "the refused ones were not counted"


def test_a_limit_whose_period_has_ended_no_longer_denies(node: Node) -> None:
    node.hears(limit(state="deny", used="1000", resets_at="2026-11-22T07:30:10.000Z"))
    node.clock += 9.9
    assert not node.passes()
    node.clock += 0.2
    assert node.passes_of(50) == 50
    node.hears(limit(used="20", limit="60", resets_at="2026-12-22T07:30:10.000Z"))
    assert node.passes_of(50) == 10, "20 are counted, 30 on their way: 10 of 60 are left"


def test_a_wall_clock_that_jumps_changes_nothing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.hears(limit(state="deny", used="1000"))
    monkeypatch.setattr("time.time", lambda: 4_102_444_800.0)
    assert not node.passes()
    assert node.verdicts.decide(ALICE, FLIGHTS, OPEN).headers["Retry-After"] == "750600"


def test_retry_after_is_at_least_a_second(node: Node) -> None:
    node.hears(limit(state="deny", used="1000", resets_at="2026-11-22T07:30:00.001Z"))
    assert node.verdicts.decide(ALICE, FLIGHTS, OPEN).headers["Retry-After"] == "1"


def test_what_is_not_in_the_plan_is_refused_without_numbers(node: Node) -> None:
    node.hears(limit(state="deny", limit=None, used=None, resets_at=None, code="not_in_plan", status=403))
    decision = node.verdicts.decide(ALICE, FLIGHTS, OPEN)
    assert decision.status == 403
    assert decision.headers == {
        "Content-Type": "application/json; charset=utf-8",
        "X-Tollkeeper-Refused": "not_in_plan lim_1",
    }
    assert json.loads(decision.body)["message"] == "flights_ok is not available"


def test_fractional_limits_are_exact(node: Node) -> None:
    node.hears(limit(limit="2.5", used="0.5"))
    assert node.passes_of(5) == 2
    assert json.loads(node.verdicts.decide(ALICE, FLIGHTS, OPEN).body)["used"] == "2.5"


def test_a_header_holds_nothing_that_a_limit_s_name_could_smuggle_in(node: Node) -> None:
    node.hears(limit(id="a b\r\nSet-Cookie: é", state="deny"))
    refused = node.verdicts.decide(ALICE, FLIGHTS, OPEN).headers["X-Tollkeeper-Refused"]
    assert refused == "quota_exhausted a_b__Set-Cookie:__"


@pytest.mark.parametrize(("on_unknown", "passes"), [("allow", True), ("deny", False)])
def test_before_the_first_verdicts_the_policy_decides(on_unknown: str, passes: bool, node: Node) -> None:
    policy = msgspec.structs.replace(OPEN, on_unknown=on_unknown)
    assert node.passes(policy=policy) is passes
    decision = node.verdicts.decide(ALICE, FLIGHTS, policy)
    assert decision.status == (200 if passes else 503)
    assert node.verdicts.age_seconds is None


def test_stale_verdicts_hold_until_the_policy_s_time_is_over(node: Node) -> None:
    strict = msgspec.structs.replace(OPEN, on_stale="deny", max_stale_seconds=60)
    lenient = msgspec.structs.replace(OPEN, on_stale="allow", max_stale_seconds=60)
    node.hears(limit(state="deny", used="1000"))
    node.hears(subject=GLOBEX)
    node.clock += 60
    assert not node.passes(policy=lenient), "the last verdict still holds"
    assert node.passes(policy=strict, subject=GLOBEX)
    node.clock += 1
    assert node.passes(policy=lenient)
    decision = node.verdicts.decide(GLOBEX, FLIGHTS, strict)
    assert (decision.status, decision.code, decision.headers["Retry-After"]) == (503, "verdicts_stale", "5")
    assert decision.headers["X-Tollkeeper-Refused"] == "verdicts_stale -"
    node.hears_feed()
    assert node.passes(policy=strict, subject=GLOBEX), "an answer without news is news enough"


@pytest.mark.parametrize("subject", ["consumer:nobody-knows", "anonymous"])
def test_a_subject_of_no_customer_passes_unless_the_policy_denies(subject: str, node: Node) -> None:
    node.hears(limit())
    assert node.passes(subject=subject)
    decision = node.verdicts.decide(subject, FLIGHTS, msgspec.structs.replace(OPEN, deny_unmapped=True))
    assert (decision.status, decision.code) == (403, "unmapped")
    assert "Retry-After" not in decision.headers
    assert node.passes(subject=ALICE, policy=msgspec.structs.replace(OPEN, deny_unmapped=True))


def test_a_delta_changes_what_it_names_and_removes_what_it_says(node: Node) -> None:
    node.hears(limit(state="deny", used="1000"))
    node.hears(limit(id="lim_9", state="deny"), subject=GLOBEX)
    assert not node.passes()
    assert not node.passes(subject=GLOBEX)
    node.hears_feed(removed=[ALICE])
    assert node.passes()
    assert not node.passes(policy=msgspec.structs.replace(OPEN, deny_unmapped=True))
    assert node.verdicts.subject_count == 1
    node.hears_feed(full=True)
    assert node.passes(subject=GLOBEX)
    assert node.verdicts.subject_count == 0


def test_thousands_of_changes_are_folded_and_none_is_lost(node: Node) -> None:
    node.hears_feed(subjects=[_subject(number, "allow") for number in range(5000)])
    for begin in range(0, 5000, 500):
        node.hears_feed(subjects=[_subject(number, "deny") for number in range(begin, begin + 500)])
    node.hears_feed(removed=["consumer:0"])
    assert node.verdicts.subject_count == 4999
    assert not any(node.passes(subject=f"consumer:{number}") for number in range(1, 5000))


def test_counts_of_limits_that_nothing_passes_any_more_are_dropped(node: Node) -> None:
    node.hears_feed(subjects=[_subject(number, "allow") for number in range(3000)])
    for number in range(3000):
        assert node.passes(subject=f"consumer:{number}")
    assert len(node.verdicts._passes) == 3000
    node.clock += 30
    node.hears_feed()
    node.passes(subject="consumer:1")
    assert len(node.verdicts._passes) == 1


def test_what_is_left_is_told_for_the_tightest_limit(node: Node) -> None:
    node.hears(limit(used="100"), limit(id="lim_2", limit="50", used="10"), limit(id="lim_3", kind="tokens"))
    node.passes()
    found = node.verdicts.remaining(ALICE, FLIGHTS)
    assert found is not None
    assert (found[0].id, found[1]) == ("lim_2", 39)
    assert node.verdicts.remaining("consumer:nobody", FLIGHTS) is None


@pytest.mark.parametrize("size", [1, 7, 64, 5000])
def test_a_feed_is_read_the_same_in_pieces_of_any_size(size: int) -> None:
    subjects = [_subject(number, "allow") for number in range(20)]
    subjects[3]["customer"] = 'a "tricky" name: ]}, {"subjects": [\\'
    subjects[4]["a_later_version"] = {"knows": {"more": [{"than": {}}]}}
    feed = {"cursor": "1", "full": True, "generated_at": "2026-11-22T07:30:00Z", "subjects": subjects, "removed": ["x"]}
    for text in (json.dumps(feed), json.dumps(feed, indent=2), json.dumps(feed, separators=(",", ":"))):
        content = text.encode()
        parts = list(read_feed([content[at : at + size] for at in range(0, len(content), size)]))
        assert [part.subject for part in parts[:-1]] == [f"consumer:{number}" for number in range(20)]  # type: ignore[union-attr]
        assert parts[-1].removed == ["x"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>sign in</html>",
        b'{"cursor": "1"}',
        b'{"subjects": [',
        b'{"subjects": [{"subject": "a"}',
        b'{"subjects": [{"customer": "a"}], "cursor": "1", "full": true, "generated_at": "2026-11-22T07:30:00Z"}',
        b'{"subjects": [1, 2]}',
        b'{"subjects": []} trailing',
        b'{"cursor": "1", "full": true, "generated_at": "yesterday", "subjects": []}',
        b'{"cursor": "1", "full": false, "generated_at": "2026-11-22T07:30:00Z", "subjects": []}',
        b'{"full": true, "generated_at": "2026-11-22T07:30:00Z", "subjects": []}',
    ],
)
def test_what_is_no_feed_changes_nothing(content: bytes) -> None:
    builder = SnapshotBuilder()
    with pytest.raises(NotAFeed):
        builder.apply(read_feed([content]), received_at=0)


@pytest.mark.parametrize("wrong", [{"limit": "many"}, {"used": "NaN"}, {"resets_at": "soon"}, {"status": "429"}])
def test_a_limit_that_makes_no_sense_changes_nothing(wrong: dict[str, str], node: Node) -> None:
    node.hears(limit(state="deny", used="1000"))
    with pytest.raises(NotAFeed):
        node.hears(limit(**wrong))
    assert not node.passes()


def _subject(number: int, state: str) -> dict[str, Any]:
    return {
        "subject": f"consumer:{number}",
        "customer": f"c{number}",
        "limits": [limit(id=f"lim_{number}", state=state)],
    }
