"""Who remembers what was asked."""

import gc
import subprocess
import sys
import threading
import weakref
from concurrent.futures import Future
from pathlib import Path

import pytest

from mailassay.resolver import (
    MAX_KEPT,
    Answer,
    Cached,
    Deadline,
    DnsLimit,
    DnsTempError,
    Method,
    Question,
    Shared,
    Stats,
    when,
)

ROOT = Path(__file__).parents[1]
A = Question("a.example", "A")
B = Question("b.example", "A")
C = Question("c.example", "A")


class Source:
    """Starts questions and keeps them; they are answered when the test says so, or at once where it gives a TTL."""

    def __init__(self, ttl=None, records=None):
        self.asked, self.futures, self._ttl, self._records = [], [], ttl, records

    def __call__(self, question):
        self.asked.append(question)
        future = Future()
        self.futures.append(future)
        if self._ttl is not None:
            future.set_result(Answer(self._records or (question.name,), ttl=self._ttl))
        return future


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_an_answer_is_kept_as_long_as_its_ttl():
    source, clock = Source(ttl=10), Clock()
    cached = Cached(source, 100, clock)
    for now, questions in ((0, 1), (8.9, 1), (10, 2), (18.9, 2), (21, 3)):
        clock.now = now
        assert cached(A).result().records == ("a.example",)
        assert len(source.asked) == questions


def test_what_is_asked_for_is_asked_again_before_its_time_is_over():
    """Whoever asks in the last tenth gets the answer that is there, and the next one a new one."""
    source, clock = Source(ttl=100), Clock()
    cached = Cached(source, 100, clock)
    for now, questions in ((0, 1), (89, 1), (91, 2), (92, 2), (110, 2), (180, 2), (195, 3), (500, 4)):
        clock.now = now
        assert cached(A).result().records == ("a.example",)
        assert len(source.asked) == questions


def test_a_failing_refresh_leaves_the_answer_there():
    source, clock = Source(), Clock()
    cached = Cached(source, 100, clock)
    first = cached(A)
    source.futures[0].set_result(Answer(("192.0.2.1",), ttl=100))
    clock.now = 95
    assert cached(A).result() is first.result()
    source.futures[1].set_exception(DnsTempError("SERVFAIL"))
    clock.now = 99
    assert cached(A).result() is first.result()
    clock.now = 101
    assert not cached(A).done()


class Message:
    """Something that waits for an answer."""

    def __init__(self):
        self.found = []

    def arrived(self, answer):
        self.found.append(answer)


def test_the_cache_keeps_nothing_of_those_who_waited():
    """A sender could fill the memory otherwise: with names of which each keeps a whole header section."""
    source = Source()
    cached, message = Cached(source, 100, Clock()), Message()
    waiting = weakref.ref(message)
    cached(A).add_done_callback(message.arrived)
    source.futures.pop().set_result(Answer(("192.0.2.1",), ttl=100))
    assert cached.stats().kept == 1
    del message
    gc.collect()
    assert waiting() is None


@pytest.mark.parametrize("later", [True, False])
def test_an_answer_keeps_nothing_of_those_who_waited(later):
    future, message = Future(), Message()
    waiting = weakref.ref(message)
    if not later:
        future.set_result(Answer())
    when(future, message.arrived)
    if later:
        future.set_result(Answer())
    assert message.found == [Answer()]
    del message
    assert waiting() is None


def test_many_who_want_what_is_asked_again_send_one_question():
    """Its answer takes its time, and they have the one that is there."""
    source, clock = Source(), Clock()
    cached = Cached(source, 100, clock)
    first = cached(A)
    source.futures[0].set_result(Answer(("192.0.2.1",), ttl=100))
    clock.now = 95
    assert all(cached(A).result() is first.result() for _ in range(20))
    assert source.asked == [A, A]


def test_what_is_sent_anew_is_sent_once_at_a_time():
    """Whatever the cache has; many who want it anew share the question that is under way."""
    source = Source()
    cached = Cached(source, 100, Clock())
    first = cached(A)
    source.futures[0].set_result(Answer(("192.0.2.1",), ttl=100))
    again = [cached.send(A, anew=True) for _ in range(20)]
    assert source.asked == [A, A]
    assert set(again) == {source.futures[1]} != {first}


def test_what_is_counted():
    source, clock = Source(ttl=100), Clock()
    cached = Cached(source, 100, clock)
    for question in (A, A, B, A, B):
        cached(question)
    assert cached.stats() == Stats(asked=5, sent=2, kept=2)


def test_ttl_0_is_not_kept():
    source = Source(ttl=0)
    cached = Cached(source, 100, Clock())
    cached(A), cached(A)
    assert source.asked == [A, A]


def test_a_question_under_way_is_asked_once():
    source = Source()
    cached = Cached(source, 100, Clock())
    first, second = cached(A), cached(A)
    source.futures[0].set_result(Answer(ttl=0))
    assert first.result() is second.result()
    assert source.asked == [A]


def test_a_failure_is_not_kept():
    source = Source()
    cached = Cached(source, 100, Clock())
    failed = cached(A)
    source.futures[0].set_exception(DnsTempError("no"))
    with pytest.raises(DnsTempError):
        failed.result()
    cached(A)
    assert source.asked == [A, A]


def test_the_least_used_leaves_first():
    source = Source(ttl=10)
    cached = Cached(source, 2, Clock())
    for question in (A, B, A, C, A, B):
        cached(question)
    assert source.asked == [A, B, C, B]


def test_size_0_keeps_nothing():
    source = Source(ttl=10)
    cached = Cached(source, 0, Clock())
    cached(A), cached(A)
    assert source.asked == [A, A]


@pytest.mark.parametrize(
    ("records", "kept"),
    [
        (("x" * (MAX_KEPT - 64),), True),
        (("x" * (MAX_KEPT - 63),), False),
        (("x" * 64,) * 32, True),
        (("x" * 64,) * 33, False),
        (("",) * 65, False),
        (("x" * 65_000,), False),
    ],
)
def test_a_large_answer_is_not_kept(records, kept):
    source = Source(10, records)
    cached = Cached(source, 100, Clock())
    assert cached(A).result().records == cached(A).result().records == records
    assert len(source.asked) == (1 if kept else 2)


_TAKEN = """
import sys, tracemalloc
from tests.test_resolver import MAX_KEPT, Answer, Cached, Clock, Future, Question

length, octet = int(sys.argv[1]), sys.argv[2]

def source(question):
    future = Future()
    texts = [f"{place:03}{question.name[:4]}{octet * length}"[:length] for place in range(MAX_KEPT // (64 + length))]
    future.set_result(Answer(tuple(texts), ttl=10))
    return future

cached = Cached(source, 1000, Clock())
tracemalloc.start()
for number in range(200):
    cached(Question(f"{number:04}.{'x' * 248}", "TXT"))
print(tracemalloc.get_traced_memory()[0])
"""


@pytest.mark.parametrize("octet", ["x", "\xff"])
@pytest.mark.parametrize("length", [0, 1, 30, 200, MAX_KEPT - 64])
def test_what_an_answer_takes_at_most(length, octet):
    """Whatever the sender's DNS says, and however long the names are: less than 8 kB.

    In a process of its own: threads that other tests have left allocate memory too.
    """
    command = [sys.executable, "-X", "utf8", "-c", _TAKEN, str(length), octet]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert 0 < int(done.stdout) / 200 < 8192


def test_many_threads_ask_once():
    source = Source()
    cached = Cached(source, 100, Clock())
    barrier = threading.Barrier(16)
    found = []

    def ask():
        barrier.wait()
        found.append(cached(A))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert source.asked == [A]
    assert len(set(map(id, found))) == 1


def test_a_prefetch_and_a_later_ask_are_one_question():
    source = Source(ttl=0)
    share = Shared(source).of(Method.SPF)
    share.prefetch("A.example.", "A")
    assert share.resolver(1, Clock())("a.EXAMPLE", "A").records == ("a.example",)
    assert source.asked == [A]


def test_what_one_check_asked_another_need_not_ask():
    source = Source()
    shared = Shared(source)
    for method in Method:
        shared.of(method)(A)
    # what decides about the author has it go first
    assert source.asked == [A, A]


def test_what_decides_goes_first():
    """Also where SPF of the connection has asked for it already, and may be waiting behind other questions."""
    source, first = Source(), Source()
    connection = Shared(source, first=first)
    connection.of(Method.SPF_HELO)(A)
    message = Shared(source, connection, first=first)
    message.of(Method.SPF)(B)
    for method in (Method.DMARC, Method.DKIM):
        for question in (A, B, C):
            message.of(method)(question)
    message.of(Method.SPF)(C)
    assert (source.asked, first.asked) == ([A, B], [A, B, C])


def test_no_check_uses_up_the_questions_of_another():
    source = Source(ttl=0)
    shared = Shared(source, most=2)
    for method in Method:
        futures = [shared.of(method)(Question(f"{number}.{method}.example", "A")) for number in range(20)]
        failed = [future for future in futures if future.exception()]
        if method in (Method.DMARC, Method.DKIM):
            assert not failed
        else:
            assert failed == futures[2:]
            with pytest.raises(DnsLimit, match=f"more than 2 questions for {method}") as caught:
                failed[0].result()
            assert caught.value.key == "dns_questions"
        # what was asked once may be asked again
        assert not shared.of(method)(Question(f"0.{method}.example", "A")).exception()


def test_whether_a_message_had_an_answer():
    source = Source()
    connection = Shared(source)
    connection.of(Method.IPREV)(A)
    message = Shared(source, connection)
    assert not message.unanswered()
    message.of(Method.IPREV)(A), message.of(Method.SPF)(B), message.of(Method.DMARC)(C)
    assert message.unanswered()
    for future in source.futures[:2]:
        future.set_exception(DnsTempError("refused"))
    assert message.unanswered()
    source.futures[2].set_result(Answer())
    assert not message.unanswered()


def test_answers_that_were_kept_do_not_count():
    source = Source()
    known = Shared(Source(ttl=10))
    known.of(Method.IPREV)(C)
    message = Shared(source, known)
    message.of(Method.SPF)(A), message.of(Method.IPREV)(C)
    source.futures[0].set_exception(DnsTempError("refused"))
    assert message.unanswered()


def test_messages_share_what_their_connection_asked_and_nothing_else():
    source = Source(ttl=0)
    connection = Shared(source)
    connection.of(Method.IPREV)(A)
    first, second = Shared(source, connection), Shared(source, connection)
    for message in (first, second):
        message.of(Method.SPF)(A), message.of(Method.SPF)(B)
    assert source.asked == [A, B, B]


def test_what_failed_for_the_connection_is_asked_again_for_each_message():
    source = Source()
    connection = Shared(source)
    connection.of(Method.IPREV)(A)
    source.futures[0].set_exception(DnsTempError("no"))
    message = Shared(source, connection)
    message.of(Method.IPREV)(A), message.of(Method.IPREV)(A)
    assert source.asked == [A, A]


def test_after_the_deadline_only_what_is_there_is_an_answer():
    source, clock = Source(), Clock()
    share = Shared(source).of(Method.SPF)
    resolve = share.resolver(5, clock)
    share.prefetch("a.example", "A")
    source.futures[0].set_result(Answer(("192.0.2.1",)))
    clock.now = 5
    assert resolve("a.example", "A").records == ("192.0.2.1",)
    with pytest.raises(DnsTempError, match=r"b\.example A within"):
        resolve("b.example", "A")


def test_time_runs_out_while_waiting():
    with pytest.raises(DnsTempError, match=r"a\.example A within"):
        Deadline(Source(), 0.02, Clock())("a.example", "A")


def test_trouble_goes_through():
    def source(question):
        future = Future()
        future.set_exception(DnsTempError(f"{question.name}: SERVFAIL"))
        return future

    with pytest.raises(DnsTempError, match="SERVFAIL"):
        Deadline(source, 1, Clock())("a.example", "A")
