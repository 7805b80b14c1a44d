"""Whose turn it is to ask, where more is asked than may be under way."""

import itertools
import threading
from collections import Counter
from concurrent.futures import Future, wait

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mailassay.config import Settings
from mailassay.nameservers.turns import MAX_FIRST, MAX_OTHERS, MAX_WAITING, Turns
from mailassay.resolver import Answer, Cached, Deadline, DnsTempError, DnsUnsent, Method, Question, Shared, Waiting
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.talk import Talk


class Source:
    """Keeps questions until the test answers them, by name; ``at_once``: answers each itself."""

    def __init__(self, *, at_once=False):
        self.asked, self.open, self._at_once = [], {}, at_once

    def __call__(self, question):
        assert question not in self.open
        self.asked.append(question.name)
        future = self.open[question] = Future()
        if self._at_once:
            self.answer(question)
        return future

    def answer(self, question, ttl=0):
        self.open.pop(question).set_result(Answer((question.name,), ttl=ttl))

    def answer_all(self):
        while self.open:
            self.answer(next(iter(self.open)))


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def is_sent(future):
    """One that need not wait is no Waiting."""
    return not isinstance(future, Waiting)


def q(name):
    return Question(str(name), "A")


def gate(most, source=None, clock=None):
    source = source or Source()
    return source, Turns(Cached(source, 100, clock or Clock()), most)


def ask(asker, *names, first=False):
    return [(asker.first if first else asker)(q(name)) for name in names]


# --- bounds


def test_what_may_be_under_way():
    """A quarter is kept for each kind."""
    source, gated = gate(8)
    one, other = gated.asker(), gated.asker()
    ask(one, *range(10))
    assert source.asked == [str(number) for number in range(6)]
    ask(other, "a", "b", "c", first=True)
    assert source.asked[6:] == ["a", "b"]
    source.answer(q(0))
    assert source.asked[8:] == ["c"]
    source.answer(q(1))
    source.answer(q("a"))
    assert source.asked[9:] == ["6", "7"]


@pytest.mark.parametrize(("first", "most"), [(True, MAX_FIRST), (False, MAX_OTHERS)])
def test_what_one_asker_may_have_under_way(first, most):
    source, gated = gate(1000)
    one, other = gated.asker(), gated.asker()
    futures = ask(one, *range(most + 10), first=first)
    assert len(source.asked) == most
    assert [future.done() or is_sent(future) for future in futures] == [True] * most + [False] * 10
    ask(one, "another kind", first=not first)
    ask(other, "another asker", first=first)
    assert source.asked[most:] == ["another kind", "another asker"]
    one.drop()
    ask(one, "still under way", first=first)
    assert len(source.asked) == most + 2
    source.answer(q(0))
    assert source.asked[most + 2 :] == ["still under way"]


def test_how_many_may_wait():
    _, gated = gate(4)
    asker = gated.asker()
    futures = ask(asker, *range(3 + MAX_WAITING))
    assert not any(future.done() for future in futures)
    for first in (False, True):
        (future,) = ask(asker, "too many", first=first)
        with pytest.raises(DnsUnsent, match="too many A: not sent"):
            future.result(0)
    (again,) = ask(asker, 100)
    assert again is futures[100]


# --- turns


def test_askers_take_turns():
    """Whoever asks much waits for himself."""
    source, gated = gate(4)
    greedy, honest, modest = gated.asker(), gated.asker(), gated.asker()
    ask(greedy, *range(100))
    ask(honest, "a", "b")
    ask(modest, "x")
    for name in (0, 1, 2, 3, "a"):
        source.answer(q(name))
    assert source.asked == ["0", "1", "2", "a", "x", "3", "4", "b"]


def test_who_has_little_under_way_is_the_next():
    """However much others wait for: they have all had more."""
    source, gated = gate(40)
    for number in range(2):
        ask(gated.asker(), *[f"{number} {each}" for each in range(20 + number * 100)])
    honest = gated.asker()
    for number in range(5):
        ask(honest, f"honest {number}")
        source.answer(next(question for question in source.open if "honest" not in question.name))
        assert source.asked[-1] == f"honest {number}"
        source.answer(q(f"honest {number}"))


def test_the_first_go_before_the_others():
    source, gated = gate(4)
    one, other = gated.asker(), gated.asker()
    ask(one, *range(10))
    ask(other, "f", "g", first=True)
    assert source.asked == ["0", "1", "2", "f"]
    source.answer(q(0))
    assert source.asked[-1] == "g"


def test_a_question_that_waits_is_promoted():
    source, gated = gate(4)
    asker = gated.asker()
    futures = ask(asker, *range(10))
    source.answer(q(0))
    (promoted,) = ask(asker, 9, first=True)
    assert promoted is futures[9]
    assert source.asked == ["0", "1", "2", "3", "9"]
    # nor does it go back
    (waits,) = ask(gated.asker(), "a", first=True)
    assert not is_sent(waits)
    assert ask(asker, 8, first=True) == ask(asker, 8) == [futures[8]]
    source.answer_all()
    assert Counter(source.asked) == Counter([*map(str, range(10)), "a"])
    assert all(future.result(0) for future in futures)


def test_nobody_is_held_back_by_a_place_in_the_queue_of_another():
    """As where an attacker asks for a bank's policy by SPF, at the end of all that he asks."""
    source, gated = gate(100)
    attacker, honest = gated.asker(), gated.asker()
    (late,) = ask(attacker, *range(200), "bank")[-1:]
    (wanted,) = ask(honest, "bank", first=True)
    assert source.asked[-1] == "bank"
    assert not is_sent(late)
    source.answer(q("bank"), ttl=60)
    assert wanted.result(0) is not None
    assert not late.done()
    source.answer_all()
    assert late.result(0).records == ("bank",)
    assert source.asked.count("bank") == 1


# --- what is known takes no turn


def test_what_is_under_way_is_had_at_once():
    source, gated = gate(4)
    one, other = gated.asker(), gated.asker()
    ask(one, *range(3))
    (same,) = ask(other, 2)
    (waits,) = ask(other, 3)
    source.answer(q(2))
    assert same.result(0).records == ("2",)
    assert source.asked == ["0", "1", "2", "3"]
    assert not waits.done()


def test_what_is_kept_is_had_at_once():
    source, gated = gate(4)
    asker = gated.asker()
    ask(asker, "kept")
    source.answer(q("kept"), ttl=60)
    ask(asker, *range(100))
    (kept,) = ask(asker, "kept")
    assert kept.result(0).records == ("kept",)


def test_a_kept_answer_is_asked_for_again_in_its_turn():
    """Whoever asks does not wait for that."""
    clock = Clock()
    source, gated = gate(4, clock=clock)
    asker = gated.asker()
    ask(asker, "kept")
    source.answer(q("kept"), ttl=100)
    ask(asker, *range(3 + MAX_WAITING - 1))
    clock.now = 95
    for _ in range(3):
        (kept,) = ask(asker, "kept")
        assert kept.result(0).records == ("kept",)
    source.answer_all()
    assert source.asked.count("kept") == 2
    # and where there is no room for it, it is left
    clock.now = 0
    ask(asker, *range(3 + MAX_WAITING))
    source.answer(q(0), ttl=100)
    ask(asker, "one more")
    clock.now = 95
    (kept,) = ask(asker, 0)
    assert kept.result(0).records == ("0",)


def test_what_is_counted():
    """A question once, whether it waits or not."""
    source = Source()
    cached = Cached(source, 100, Clock())
    asker = Turns(cached, 4).asker()
    ask(asker, *range(10), 0)
    source.answer_all()
    assert cached.stats()[:2] == (11, 10)


# --- asked anew, to see whether DNS answers


def test_a_question_asked_anew_keeps_the_bounds():
    """It goes first; the answer that is kept is none, and the new one is kept."""
    clock = Clock()
    source, gated = gate(4, clock=clock)
    asker, other = gated.asker(), gated.asker()
    ask(asker, "kept")
    source.answer(q("kept"), ttl=100)
    ask(asker, *range(3))
    (one,) = [other.anew(q("kept"))]
    assert source.asked == ["kept", "0", "1", "2", "kept"]
    assert not one.done()
    assert asker.anew(q("1")) is not None
    # the bound is reached: it waits, and goes before the others
    ask(asker, "later")
    waits = other.anew(q("0"))
    clock.now = 50
    source.answer(q("kept"), ttl=100)
    assert one.result(0).records == ("kept",)
    clock.now = 120
    assert ask(asker, "kept")[0].result(0).records == ("kept",)
    source.answer_all()
    assert waits.result(0).records == ("0",)
    assert gated._first.under_way == gated._others.under_way == 0


def test_a_question_asked_anew_waits_for_its_turn():
    """Whatever is kept of it."""
    source, gated = gate(4)
    asker, other = gated.asker(), gated.asker()
    ask(asker, "kept")
    source.answer(q("kept"), ttl=100)
    ask(asker, *range(3))
    ask(other, "first", first=True)
    ask(asker, "later")
    waits = asker.anew(q("kept"))
    assert len(source.asked) == 5
    with pytest.raises(DnsUnsent):
        Deadline(asker.anew, 0.02, Clock())("kept", "A")
    source.answer(q(0))
    assert source.asked[-1] == "kept"
    assert not waits.done()
    source.open.pop(q("kept")).set_exception(DnsTempError("SERVFAIL"))
    with pytest.raises(DnsTempError, match="SERVFAIL"):
        waits.result(0)
    # what is kept is not forgotten
    assert ask(other, "kept")[0].result(0).records == ("kept",)


def test_many_who_ask_anew_send_one_question():
    source, gated = gate(40)
    ask(gated.asker(), "kept")
    source.answer(q("kept"), ttl=100)
    futures = [gated.asker().anew(q("kept")) for _ in range(20)]
    assert source.asked == ["kept"] * 2
    source.answer_all()
    assert all(future.result(0).records == ("kept",) for future in futures)


# --- ends


def test_what_waits_is_dropped():
    source, gated = gate(4)
    asker, other = gated.asker(), gated.asker()
    futures = ask(asker, *range(5))
    (kept,) = ask(other, 4)
    asker.drop()
    assert [future.done() for future in futures] == [False, False, False, True, True]
    with pytest.raises(DnsUnsent):
        futures[4].result(0)
    source.answer_all()
    assert kept.result(0).records == ("4",)
    assert futures[0].result(0).records == ("0",)
    assert "3" not in source.asked
    (again,) = ask(asker, 3)
    assert is_sent(again)


def test_who_has_left_asks_nothing():
    """Nor what follows from an answer that comes later."""
    source, gated = gate(4)
    asker = gated.asker()
    follows = []
    (future,) = ask(asker, "a")
    future.add_done_callback(lambda _: follows.extend(ask(asker, "b")))
    asker.close()
    source.answer(q("a"), ttl=60)
    assert source.asked == ["a"]
    with pytest.raises(DnsUnsent):
        follows[0].result(0)
    (kept,) = ask(asker, "a")
    assert kept.result(0).records == ("a",)


def test_failures_go_through():
    source, gated = gate(4)
    futures = ask(gated.asker(), *range(4))
    source.open.pop(q(0)).set_exception(DnsTempError("SERVFAIL"))
    with pytest.raises(DnsTempError, match="SERVFAIL"):
        futures[0].result(0)
    assert source.asked[-1] == "3"


def test_a_source_that_fails_costs_no_turn():
    def broken(_):
        raise OSError("no descriptor")

    gated = Turns(Cached(broken, 100, Clock()), 4)
    for future in ask(gated.asker(), *range(20)):
        with pytest.raises(OSError, match="no descriptor"):
            future.result(0)


def test_answers_that_are_there_at_once_do_not_nest():
    """However many wait, and whatever is asked because of them."""
    source, gated = gate(4)
    asker, ends, numbers = gated.asker(), [], itertools.count()
    for future in ask(asker, *range(400)):
        future.add_done_callback(lambda _: ends.append(ask(asker, f"more {next(numbers)}")))
    source._at_once = True
    source.answer(q(0))
    source.answer_all()
    assert len(ends) == 400
    assert len(source.asked) == 800


@pytest.mark.parametrize("waits", [False, True, "and is sent too late"])
def test_time_that_runs_out(waits):
    """A question that was sent and has no answer is somebody else's trouble; one that had to wait is ours."""
    source, gated = gate(4)
    asker = gated.asker()
    ask(asker, *range(3 if waits else 0))
    future = asker(Question("a.example", "A"))
    if waits and waits is not True:
        source.answer(q(0))
        assert source.asked[-1] == "a.example"
    with pytest.raises(DnsTempError, match="within the time of the message") as caught:
        Deadline(lambda _: future, 0.02, Clock())("a.example", "A")
    assert issubclass(caught.type, DnsUnsent) is bool(waits)


def talk(most):
    """A source, and the shared questions of a message whose time is over, of an asker that fills the bound."""
    source, gated = gate(most)
    asker = gated.asker()
    ask(asker, *range(most - most // 4))
    return source, gated, Shared(asker, first=asker.first)


def test_what_follows_from_a_question_that_waited():
    """It is asked late, so that there is no time for its answer: that is no trouble of its domain."""
    source, _, shared = talk(4)
    resolve = shared.of(Method.SPF).resolver(0.0, Clock())
    shared.of(Method.SPF).prefetch("a.example", "A")
    source.answer(q(0))
    source.answer(Question("a.example", "A"))
    assert resolve("a.example", "A").records == ("a.example",)
    assert not shared.unsent
    with pytest.raises(DnsTempError):
        resolve("b.example", "A")
    assert shared.unsent


@pytest.mark.parametrize("method", [Method.SPF, Method.DMARC])
def test_an_answer_that_somebody_else_had_meanwhile(method):
    """What waits is looked for once more when the time is up."""
    source, gated, shared = talk(4)
    share = shared.of(method)
    if method is Method.DMARC:
        ask(gated.asker(), "f", first=True)
    resolve = share.resolver(0.0, Clock())
    asked = share.prefetch("a.example", "A")
    with pytest.raises(DnsUnsent):
        resolve("a.example", "A")
    assert shared.unsent
    shared.unsent = False
    # as a reload may, or an asker of whom little is under way
    gated._source.send(Question("a.example", "A"))
    with pytest.raises(DnsUnsent):
        resolve("a.example", "A")
    assert shared.unsent
    shared.unsent = False
    source.answer(Question("a.example", "A"), ttl=60)
    assert not asked.done()
    assert resolve("a.example", "A").records == ("a.example",)
    assert not shared.unsent


def test_what_a_connection_waits_for_at_the_end_of_a_message():
    """It is dropped with the message, and asked again for the next one."""
    zone = Zone(
        """
        1.2.0.192.in-addr.arpa PTR mail.bank.example
        mail.bank.example      A   192.0.2.1
        mail.bank.example      TXT "v=spf1 a -all"
        bank.example           TXT "v=spf1 ip4:192.0.2.1 -all"
        """,
        limits=LIMITS,
    )
    held = []

    def source(question):
        if question.name.endswith(".busy"):
            held.append(future := Future())
            return future
        return zone(question)

    turns = Turns(Cached(source, 100), 4)
    others = turns.asker()
    ask(others, *[f"{number}.busy" for number in range(3)])
    ask(others, "f.busy", first=True)
    asker = turns.asker()
    talk = Talk(asker, settings=Settings(message_timeout=0.02), first=asker.first)
    assert talk.message().verdict.rule == "dns.unsent"
    asker.drop()
    for future in held:
        future.set_result(Answer())
    evidence = talk.message().evidence
    assert (evidence.iprev.result, evidence.iprev.name) == ("pass", "mail.bank.example")
    assert (evidence.spf_helo.result, evidence.spf_mail_from.result) == ("pass", "pass")


# --- all of it


class Gated(RuleBasedStateMachine):
    """Whatever is asked, answered and dropped: bounds hold, nobody waits needlessly, and every future ends."""

    def __init__(self):
        super().__init__()
        self.source, self.gated = gate(8)
        self.askers = [self.gated.asker() for _ in range(4)]
        self.futures = []

    @rule(asker=st.integers(0, 3), name=st.integers(0, 30), first=st.booleans())
    def ask(self, asker, name, first):
        (future,) = ask(self.askers[asker], name, first=first)
        self.futures.append((future, str(name)))

    @rule(asker=st.integers(0, 3), name=st.integers(0, 30), more=st.integers(0, 30), first=st.booleans())
    def ask_on(self, asker, name, more, first):
        """With a question that follows from the answer."""
        (future,) = ask(self.askers[asker], name, first=first)
        self.futures.append((future, str(name)))
        future.add_done_callback(lambda _: self.ask(asker, more, first))

    @precondition(lambda self: self.source.open)
    @rule(place=st.integers(0, 100), ttl=st.sampled_from([0, 60]), fails=st.booleans())
    def answer(self, place, ttl, fails):
        question = [*self.source.open][place % len(self.source.open)]
        if fails:
            self.source.open.pop(question).set_exception(DnsTempError("SERVFAIL"))
        else:
            self.source.answer(question, ttl)

    @rule(asker=st.integers(0, 3), close=st.booleans())
    def drop(self, asker, close):
        (self.askers[asker].close if close else self.askers[asker].drop)()
        if close:
            self.askers[asker] = self.gated.asker()

    @invariant()
    def bounds_hold(self):
        kinds = (self.gated._first, self.gated._others)
        assert len(self.source.open) <= sum(kind.under_way for kind in kinds) <= 8
        for kind in kinds:
            assert 0 <= kind.under_way <= 6
            # who may ask does
            assert not kind.next() or kind.under_way == 6 or sum(each.under_way for each in kinds) == 8

    @invariant()
    def answers_belong_to_questions(self):
        for future, name in self.futures:
            if future.done() and not future.exception():
                assert future.result().records == (name,)

    def teardown(self):
        self.source.answer_all()
        assert all(future.done() for future, _ in self.futures)
        assert self.gated._first.under_way == self.gated._others.under_way == 0


TestGated = Gated.TestCase
TestGated.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


def test_many_threads():
    """Questions from everywhere, answered in another thread: no bound is passed, nothing is lost."""
    under_way, worst, lock, waiting, over = 0, 0, threading.Lock(), [], threading.Event()

    def source(question):
        nonlocal under_way, worst
        future = Future()
        with lock:
            under_way += 1
            worst = max(worst, under_way)
            waiting.append((question, future))
        return future

    def answer():
        nonlocal under_way
        while not over.is_set():
            with lock:
                answered, waiting[:] = waiting[:], []
                under_way -= len(answered)
            for question, future in answered:
                future.set_result(Answer((question.name,)))

    def talk(number):
        asker = gated.asker()
        for turn in range(10):
            asked = [(asker.first if each % 3 else asker)(q(f"{number % 4} {turn} {each}")) for each in range(60)]
            if turn % 4:
                wait(asked, 30)
            else:
                asker.drop()
            futures.extend(asked)
        asker.close()

    gated, futures = Turns(Cached(source, 0), 16), []
    threads = [threading.Thread(target=talk, args=(number,)) for number in range(8)]
    answering = threading.Thread(target=answer)
    for thread in (answering, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wait(futures, 30).done) == len(set(futures))
    over.set()
    answering.join()
    assert worst <= 16
    assert len(futures) == 8 * 10 * 60
    assert gated._first.under_way == gated._others.under_way == 0


def test_an_answer_that_comes_while_another_is_asked_for_stops_nobody():
    """A question that waits is sent while another is asked, its answer is there, and who hears it asks on."""
    hosts = {f"m{place}.evil.example": [f"10 x{place}-{host}.evil.example" for host in range(10)] for place in range(4)}
    records = {
        ("h1.evil.example", "TXT"): [f"v=spf1 {' '.join(f'mx:{name}' for name in hosts)} -all"],
        ("h2.evil.example", "TXT"): ["v=spf1 a:y.evil.example -all"],
        **{(name, "MX"): found for name, found in hosts.items()},
    }
    pending = {}

    def source(question):
        future = Future()
        if question in records or question.rdtype == "PTR":
            future.set_result(Answer(tuple(records.get(question, ())), ttl=300))
        else:
            pending[question] = future
        return future

    turns = Turns(Cached(source, 1000), 2000)

    def connection():
        asker = turns.asker()
        return Talk(asker, client="198.51.100.66", helo=None, first=asker.first).session

    first = connection()
    # more than may be under way, and two that wait behind them; another connection has the answer to one of these kept
    for name in ("h1.evil.example", "h3.evil.example", "h2.evil.example"):
        first.helo(name)
    connection().helo("h2.evil.example")

    def dns():
        for question in [each for each in pending if each.rdtype == "A"][:9]:
            pending.pop(question).set_result(Answer(("192.0.2.9",), ttl=60))
        answer = Answer(("v=spf1 a:z.evil.example -all",), ttl=300)
        pending.pop(Question("h3.evil.example", "TXT")).set_result(answer)

    thread = threading.Thread(target=dns, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


def test_the_bound_changes_as_a_whole():
    """No kind may have all of it, after a change either."""
    turns = Turns(Cached(lambda _: Future(), 10), 2000)
    turns.most = 40
    for number in range(100):
        turns.asker().first(Question(f"{number}.example", "TXT"))
    assert turns._first.under_way == 30
