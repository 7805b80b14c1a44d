"""How many workers suit a machine, and a container."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.daemon.processors import suitable_workers

PROCESSORS, ALL = 16, 8


@pytest.fixture(autouse=True, scope="module")
def many():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "sched_getaffinity", lambda _: set(range(PROCESSORS)))
        yield


def tree(folder, groups, name="/"):
    """A root with control groups: the content of cpu.max by the name of a group."""
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/cgroup").write_text(f"0::{name}\n")
    for group, text in groups.items():
        path = folder / "sys/fs/cgroup" / group
        path.mkdir(parents=True, exist_ok=True)
        (path / "cpu.max").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("groups", "name", "count"),
    [
        ({}, "/", ALL),
        ({"": "max 100000\n"}, "/", ALL),
        ({"": "50000 100000\n"}, "/", 1),
        ({"": "100000 100000\n"}, "/", 1),
        ({"": "6400000 100000\n"}, "/", ALL),
        # a container that sees the whole tree: its own group, or one above it
        ({"a/b": "100000 100000\n"}, "/a/b", 1),
        ({"a": "100000 100000\n", "a/b": "max 100000\n"}, "/a/b", 1),
        ({"c": "100000 100000\n"}, "/a/b", ALL),
        # outside our namespace
        ({"": "100000 100000\n"}, "/../../x", 1),
        ({"": "nonsense\n"}, "/", ALL),
        ({"": "0 100000\n"}, "/", ALL),
        ({"": "100000 0\n"}, "/", ALL),
    ],
)
def test_quotas(tmp_path, groups, name, count):
    assert suitable_workers(tree(tmp_path, groups, name)) == count


def test_a_part_of_a_processor_counts_as_one(tmp_path):
    assert suitable_workers(tree(tmp_path, {"": "250000 100000\n"})) == 3


@pytest.mark.parametrize(("processors", "count"), [(1, 1), (2, 1), (3, 1), (4, 2), (64, 32)])
def test_half_the_processors_are_for_postfix(tmp_path, monkeypatch, processors, count):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(processors)))
    assert suitable_workers(tmp_path) == count


def test_a_group_whose_name_is_not_utf8(tmp_path):
    root = tree(tmp_path, {"": "100000 100000\n"})
    (root / "proc/self/cgroup").write_bytes(b"0::/a\xff\n")
    assert suitable_workers(root) == 1


def test_without_control_groups(tmp_path):
    assert suitable_workers(tmp_path) == ALL


@given(st.text(max_size=40).filter(lambda text: "\0" not in text))
def test_any_quota(tmp_path_factory, text):
    assert 1 <= suitable_workers(tree(tmp_path_factory.mktemp("root"), {"": text})) <= ALL
