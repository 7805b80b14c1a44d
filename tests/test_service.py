"""What the processes of the service say about themselves in the spool."""

import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.history import service
from mailassay.history.service import Event, What, Why, Worker

NUMBERS = st.integers(0, (1 << 40) - 1)
PLACES = {"time": st.floats(0, 1 << 39), "host": st.text(max_size=20)}
WORKERS = st.builds(
    Worker, **PLACES, **{each.name: NUMBERS for each in fields(Worker) if each.type == "int"}, ends=st.booleans()
)
EVENTS = st.builds(
    Event,
    **PLACES,
    what=st.sampled_from(What),
    workers=NUMBERS,
    policy=st.text(max_size=20),
    why=st.none() | st.sampled_from(Why),
    pid=NUMBERS,
)
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=3)


@given(WORKERS | EVENTS)
def test_a_line_says_the_same_when_it_is_read(said):
    assert service.read(json.loads(json.dumps(service.values(said)))) == said


@given(WORKERS | EVENTS, st.data())
def test_a_line_with_something_else_in_it(said, data):
    """Is read as a line, with values of the right types, or not at all."""
    values = service.values(said)
    key = data.draw(st.sampled_from(sorted(values)))
    found = service.read({**values, key: data.draw(JSON)})
    if found is not None:
        assert service.read(service.values(found)) == found


@pytest.mark.parametrize(
    "more",
    [
        {"v": 2}, {"v": None}, {"kind": "message"}, {"kind": []}, {"messages": -1}, {"messages": True},
        {"messages": 1 << 40}, {"messages": 1.0}, {"time": -1}, {"time": float("nan")}, {"time": True}, {"host": 7},
        {"ends": 1}, {"pid": None},
    ],
)  # fmt: skip
def test_not_a_line_of_a_worker(more):
    values = service.values(Worker(time=1.0, host="mx1", pid=7))
    assert service.read(values) == Worker(time=1.0, host="mx1", pid=7)
    assert service.read({**values, **more}) is None
    assert service.read({key: value for key, value in values.items() if key not in more}) is None


@pytest.mark.parametrize("more", [{"what": "nothing"}, {"what": None}, {"why": "because"}, {"why": 7}])
def test_not_an_event(more):
    values = service.values(Event(time=1.0, host="mx1", what=What.STARTED, workers=2, policy="abc"))
    assert service.read(values)
    assert service.read({**values, **more}) is None
