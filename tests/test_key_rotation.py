"""The steps in the life of a key: no key is active whose record was never seen, and one stays active."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mailassay.dkim.key import parse
from mailassay.key import record, rotation
from mailassay.key.adding import Wanted
from mailassay.key.published import Published, Sighting
from mailassay.key.ring import Kept, Ring, State
from mailassay.key.rotation import KEEP, Refused
from tests.lab.sign import ed25519_key, rsa_key

DAY, WAIT = 86_400, 3600
SERVERS = ("ns1", "ns2")
RSA = [rsa_key(1024, str(number)).record for number in range(3)]


def public(number, kind="ed25519"):
    return RSA[number % len(RSA)] if kind == "rsa" else ed25519_key(str(number)).record


def seen(*values, wait=WAIT, trouble=""):
    """What DNS has for a key: a record or none at each server; None for a server that does not answer."""
    found = []
    for server, value in zip(SERVERS, values, strict=True):
        silence = "time-out" if value is None else ""
        found.append(Sighting(server, "192.0.2.1", tuple(filter(None, [value])), 300, trouble=silence))
    return Published(tuple(found), wait=wait, trouble=trouble)


def ring(**states):
    """Keys in these states since the time 0."""
    made = {}
    for number, (selector, state) in enumerate(states.items()):
        made[selector] = Kept(selector, public(number), 0, State(state), {State.PREPARED: 0, State(state): 0})
    return Ring(made)


def everywhere(found):
    return {each.selector: seen(each.record, each.record) for each in found.keys.values()}


def state(found, selector):
    return found.keys[selector].state


def test_a_record_has_to_be_everywhere_for_the_ttl():
    found = Ring({"a": Kept.new("a", public(0), 0)})
    right = {"a": seen(public(0), public(0))}
    found = rotation.observed(found, right, 100)
    assert (state(found, "a"), found.keys["a"].seen.until) == (State.PREPARED, 100 + WAIT)
    [waiting] = rotation.plan(found, right, {}, 100).waiting
    assert waiting.until == 100 + WAIT
    found = rotation.observed(found, right, 99 + WAIT)
    assert state(found, "a") is State.PREPARED
    found = rotation.observed(found, right, 100 + WAIT)
    assert state(found, "a") is State.PUBLISHED
    assert rotation.plan(found, right, {}, 100 + WAIT).activate == ("a",)


@pytest.mark.parametrize(
    "dns",
    [
        seen(public(0), ""),
        seen("", public(0)),
        seen(public(0), public(1)),
        seen(public(0), None),
        seen(public(0), record.revoked(public(0))),
        seen(public(0), public(0), trouble="the servers are not known"),
        Published(),
    ],
    ids=range(7),
)
def test_one_server_is_not_enough(dns):
    found = Ring({"a": Kept.new("a", public(0), 0)})
    for now in (0, WAIT, 100 * DAY):
        found = rotation.observed(found, {"a": dns}, now)
        assert state(found, "a") is State.PREPARED
        assert found.keys["a"].seen is None
        [waiting] = rotation.plan(found, {"a": dns}, {}, now).waiting
        assert (waiting.selector, waiting.until) == ("a", None)
        assert waiting.why


def test_a_record_that_is_lost_is_waited_for_again():
    found = Ring({"a": Kept.new("a", public(0), 0)})
    right = {"a": seen(public(0), public(0))}
    found = rotation.observed(rotation.observed(found, right, 0), right, WAIT)
    assert state(found, "a") is State.PUBLISHED
    found = rotation.observed(found, {"a": seen(public(0), "")}, WAIT + 1)
    assert (state(found, "a"), found.keys["a"].seen) == (State.PREPARED, None)
    found = rotation.observed(found, right, WAIT + 2)
    assert found.keys["a"].seen.since == WAIT + 2


def test_a_server_that_is_silent_for_a_moment_delays_only_the_change():
    found = Ring({"a": Kept.new("a", public(0), 0)})
    right = {"a": seen(public(0), public(0))}
    found = rotation.observed(rotation.observed(found, right, 0), right, WAIT)
    silent = {"a": seen(public(0), None)}
    found = rotation.observed(found, silent, WAIT + 1)
    assert state(found, "a") is State.PUBLISHED
    assert rotation.plan(found, silent, {}, WAIT + 1).waiting
    assert rotation.plan(rotation.observed(found, right, WAIT + 2), right, {}, WAIT + 2).activate == ("a",)


def test_a_clock_that_was_wrong_does_not_shorten_the_wait():
    found = Ring({"a": Kept.new("a", public(0), 0)})
    right = {"a": seen(public(0), public(0))}
    found = rotation.observed(found, right, 1000 * DAY)
    found = rotation.observed(found, right, 10)
    assert found.keys["a"].seen.since == 10
    # a shorter TTL later does not help resolvers that have the longer one
    found = rotation.observed(found, {"a": seen(public(0), public(0), wait=1)}, 20)
    assert found.keys["a"].seen.until == 10 + WAIT


def test_resolvers_may_keep_the_record_that_was_there_before():
    """A selector that is still in DNS for another program's key, with a long TTL."""
    found = Ring({"a": Kept.new("a", public(0), 0)})
    found = rotation.observed(found, {"a": seen(public(1), public(1), wait=DAY)}, 0)
    found = rotation.observed(found, {"a": seen("", "", wait=60)}, 60)
    right = {"a": seen(public(0), public(0), wait=300)}
    for now in (120, 1400, DAY - 1):
        found = rotation.observed(found, right, now)
        [waiting] = rotation.plan(found, right, {}, now).waiting
        assert waiting.until == DAY
    assert rotation.plan(rotation.observed(found, right, DAY), right, {}, DAY).activate == ("a",)
    # if the clock was wrong, it costs a day at most
    late = rotation.observed(Ring({"a": Kept.new("a", public(0), 0)}), {"a": seen("", "")}, 1000 * DAY)
    found = rotation.observed(late, right, 10)
    assert found.keys["a"].seen.until == 10 + DAY


def test_the_first_step_makes_a_key_for_each_algorithm():
    assert rotation.plan(Ring(), {}, {}, 0).make == (Wanted("rsa", 2048), Wanted("ed25519"))
    assert rotation.plan(ring(a="active", b="active"), {}, {}, 0).make == (Wanted("ed25519"),)
    for bits, wanted in ((1024, 2048), (4096, 4096)):
        kept = Kept("a", rsa_key(bits).record, 0, State.ACTIVE, {State.ACTIVE: 0})
        assert rotation.plan(Ring({"a": kept}), {}, {}, 0).make == (Wanted("rsa", wanted),)


def test_a_successor_replaces_the_keys_of_its_algorithm():
    found = ring(a="active", b="published")
    other = Kept("r", public(0, "rsa"), 0, State.ACTIVE, {State.ACTIVE: 0})
    found = found.put(other)
    step = rotation.plan(found, everywhere(found), {}, 5)
    assert (step.activate, step.retire) == (("b",), ("a",))
    found = rotation.done(found, step, 5)
    assert [state(found, each) for each in "abr"] == [State.RETIRED, State.ACTIVE, State.ACTIVE]


def test_a_rotation_that_is_done_is_not_begun_again_at_once():
    found = ring(a="active", b="published")
    found = rotation.done(found, rotation.plan(found, everywhere(found), {}, 5), 5)
    for now in (5, 4 + KEEP):
        assert rotation.plan(found, everywhere(found), {}, now).done == 5 + KEEP
    assert rotation.plan(found, everywhere(found), {}, 5 + KEEP).make


def test_a_key_whose_file_cannot_be_used_is_not_made_active():
    found = ring(a="active", b="published")
    [waiting] = rotation.plan(found, everywhere(found), {"b": "no such file"}, 5).waiting
    assert waiting.why == "no such file"


def test_what_has_signed_stays_published_for_a_week():
    found = ring(a="active", b="active")
    found = rotation.retired(found, "a", 0)
    gone = {"a": seen("", record.revoked(public(0)))}
    assert state(rotation.observed(found, gone, KEEP - 1), "a") is State.RETIRED
    assert state(rotation.observed(found, {"a": seen(public(0), "")}, KEEP), "a") is State.RETIRED
    assert state(rotation.observed(found, {"a": seen("", None)}, KEEP), "a") is State.RETIRED
    assert state(rotation.observed(found, gone, KEEP), "a") is State.REVOKED
    never = rotation.retired(ring(a="prepared"), "a", 0)
    assert state(rotation.observed(never, gone, 0), "a") is State.REVOKED


def test_the_last_active_key_is_only_retired_on_purpose():
    with pytest.raises(Refused):
        rotation.retired(ring(a="active", b="published"), "a", 0)
    assert state(rotation.retired(ring(a="active"), "a", 0, last=True), "a") is State.RETIRED
    assert state(rotation.retired(ring(a="active", b="active"), "a", 0), "a") is State.RETIRED


class Life(RuleBasedStateMachine):
    """Any calls, in any order, while DNS changes: records come and go, servers fall silent."""

    @initialize()
    def begin(self):
        self.ring, self.now, self.number = Ring(), 1_800_000_000, 0
        self.dns = {server: {} for server in SERVERS}
        self.silent = set()
        self.looks = {}
        self.had_active = False

    def look(self):
        """What DNS has. It is noted by itself, so that nothing here trusts the program."""
        found = {}
        for selector, kept in self.ring.keys.items():
            values = [None if each in self.silent else self.dns[each].get(selector, "") for each in SERVERS]
            found[selector] = seen(*values)
            right = [value == kept.record for value in values]
            says_no = any(value is not None and value != kept.record for value in values)
            self.looks.setdefault(selector, []).append((self.now, all(right), says_no))
        return found

    def make(self, kind):
        selector = f"s{self.number}"
        self.ring = self.ring.put(Kept.new(selector, public(self.number, kind), self.now))
        self.number += 1

    @precondition(lambda self: self.number < 6)
    @rule(kind=st.sampled_from(["rsa", "ed25519"]))
    def new(self, kind):
        self.make(kind)

    @precondition(lambda self: self.ring.keys)
    @rule(data=st.data(), servers=st.sampled_from([SERVERS, SERVERS[:1], SERVERS[1:]]))
    def change_dns(self, data, servers):
        kept = self.ring.keys[data.draw(st.sampled_from([*self.ring.keys]))]
        value = data.draw(
            st.sampled_from([kept.record, kept.record, kept.record, "", record.revoked(kept.record), public(9)])
        )
        for each in servers:
            self.dns[each][kept.selector] = value

    @rule()
    def publish_all(self):
        for each in SERVERS:
            self.dns[each] |= {kept.selector: kept.record for kept in self.ring.keys.values()}

    @rule(silent=st.sets(st.sampled_from(SERVERS), max_size=1))
    def fall_silent(self, silent):
        self.silent = silent

    @rule(seconds=st.sampled_from([1, WAIT // 2, WAIT, DAY, KEEP, -WAIT]))
    def pass_time(self, seconds):
        self.now += seconds

    @rule()
    def check(self):
        self.ring = rotation.observed(self.ring, self.look(), self.now)

    @rule()
    def rotate(self):
        dns = self.look()
        self.ring = rotation.observed(self.ring, dns, self.now)
        step = rotation.plan(self.ring, dns, {}, self.now)
        assert sum(map(bool, (step.make, step.waiting, step.activate, step.done is not None))) == 1
        for each in step.make:
            self.make(each.kind)
        for each in step.activate:
            self.assert_known_to_resolvers(each)
        self.ring = rotation.done(self.ring, step, self.now)

    def assert_known_to_resolvers(self, selector):
        """It was everywhere at this look and at one that was so long ago, and no look in between says otherwise."""
        looks = self.looks[selector]
        assert looks[-1][1]
        for when, right, says_no in reversed(looks):
            assert not says_no
            if right and self.now - when >= WAIT:
                return
        raise AssertionError(f"{selector} was never seen for so long")

    @precondition(lambda self: self.ring.of(State.PREPARED, State.PUBLISHED, State.ACTIVE))
    @rule(data=st.data())
    def retire(self, data):
        ready = self.ring.of(State.PREPARED, State.PUBLISHED, State.ACTIVE)
        selector = data.draw(st.sampled_from([each.selector for each in ready]))
        try:
            self.ring = rotation.retired(self.ring, selector, self.now)
        except Refused:
            assert [each.selector for each in self.ring.of(State.ACTIVE)] == [selector]

    @invariant()
    def a_key_stays_active(self):
        active = bool(self.ring.of(State.ACTIVE)) if hasattr(self, "ring") else False
        assert active or not getattr(self, "had_active", False)
        if active:
            self.had_active = True

    @invariant()
    def nothing_is_forgotten(self):
        if hasattr(self, "ring"):
            assert [*self.ring.keys] == [f"s{number}" for number in range(self.number)]
            assert all(parse(each.record) for each in self.ring.keys.values())


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
