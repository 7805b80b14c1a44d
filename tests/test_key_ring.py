"""keys.json: what is written is read again, and what is wrong with it is said."""

import json
import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.config import ConfigError, load
from mailassay.domain import Domain
from mailassay.key import ring
from mailassay.key.ring import BadRing, Busy, Kept, Ring, Seen, State
from mailassay.sign import keys
from tests.lab.sign import ed25519_key, rsa_key
from tests.lab.signing import DOMAIN, pem, write

NAME = Domain(DOMAIN)
RECORDS = [ed25519_key().record, ed25519_key("other").record, rsa_key(1024).record]
# 1970 to 2999
TIMES = st.integers(0, 32_503_679_999)
LABELS = st.from_regex("[A-Za-z0-9]([A-Za-z0-9_-]{0,8}[A-Za-z0-9])?", fullmatch=True)
SELECTORS = st.lists(LABELS, min_size=1, max_size=3).map(".".join)


@st.composite
def kept(draw, selector):
    state = draw(st.sampled_from(State))
    changed = draw(st.dictionaries(st.sampled_from(State), TIMES)) | {state: draw(TIMES)}
    seen, lacked = (draw(st.none() | st.builds(Seen, TIMES, st.integers(0, 86_400))) for _ in range(2))
    return Kept(selector, draw(st.sampled_from(RECORDS)), draw(TIMES), state, changed, seen, lacked)


@st.composite
def rings(draw):
    selectors = draw(st.lists(SELECTORS, unique_by=str.lower, max_size=5))
    return Ring({each: draw(kept(each)) for each in selectors})


@given(rings())
def test_what_is_written_is_read_again(found):
    assert ring.parsed(ring.written(found)) == found
    assert [*ring.parsed(ring.written(found)).keys] == [*found.keys]


GOOD = json.loads(ring.written(Ring({"a": Kept.new("a", RECORDS[0], 1_800_000_000)})))


def changed(*path, to):
    """The content of a good file, with another value at one place."""
    found = json.loads(json.dumps(GOOD))
    inner = found
    for each in path[:-1]:
        inner = inner[each]
    inner[path[-1]] = to
    return json.dumps(found).encode()


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"", "it is damaged"),
        (b"\xff", "it is damaged"),
        (b"[" * 100_000, "it is damaged"),
        (b"{}", "it has no version"),
        (b"[]", "it has no version"),
        (b" " * (ring.MAX_OCTETS + 1), "it has more than"),
        (b'{"version": 1, "version": 1, "keys": {}}', "a key is there twice"),
        (b'{"version": NaN, "keys": {}}', "NaN is not a value"),
        (changed("version", to=2), "it is of version 2, and this mailassay knows version 1"),
        (changed("version", to="1"), "it is of version '1'"),
        (changed("version", to=True), "it is of version True"),
        (changed("more", to=1), "it has to have keys, version, and nothing else"),
        (changed("keys", to=[]), "keys is not a map"),
        (changed("keys", "../a", to=GOOD["keys"]["a"]), "'../a' is not a selector"),
        (changed("keys", "A", to=GOOD["keys"]["a"]), "a selector is there twice"),
        (changed("keys", "a", to=None), "a has to have"),
        (changed("keys", "a", "state", to="lost"), "a has a state that this mailassay does not know: 'lost'"),
        (changed("keys", "a", "state", to="active"), "a is active, and does not say since when"),
        (changed("keys", "a", "state", to=["active"]), "a state that this mailassay does not know"),
        (changed("keys", "a", "changed", to={"prepared": 7}), "a time of another form"),
        (changed("keys", "a", "changed", to={"prepared": "2026-02-30T00:00:00Z"}), "a time of another form"),
        (changed("keys", "a", "made", to="2026-11-28T18:00:00"), "a time of another form"),
        (changed("keys", "a", "seen", to={"since": "2026-11-28T18:00:00Z", "wait": -1}), "no number of seconds"),
        (changed("keys", "a", "seen", to={"since": "2026-11-28T18:00:00Z", "wait": 1e9}), "no number of seconds"),
        (changed("keys", "a", "seen", to={"since": "2026-11-28T18:00:00Z"}), "a has to have"),
        (changed("keys", "a", "record", to="v=DKIM1; p="), "a: the key is revoked"),
        (changed("keys", "a", "record", to="ü"), "no dates, or no record"),
        (changed("keys", "a", "algorithm", to="rsa"), "a record of another algorithm"),
    ],
    ids=range(28),
)
def test_what_is_wrong_is_said(tmp_path, octets, said):
    place = write(tmp_path, DOMAIN, "x", b"").parent / ring.NAME
    place.write_bytes(octets)
    with pytest.raises(BadRing) as found:
        ring.load(str(tmp_path), NAME)
    assert str(found.value).startswith(f"{place}: ")
    assert said in str(found.value)
    assert f"mv {place}" in found.value.fix


def nested(of):
    return st.lists(of, max_size=3) | st.dictionaries(st.text(max_size=5), of, max_size=3)


VALUES = st.recursive(st.none() | st.integers() | st.text(max_size=5), nested)


@given(st.binary(max_size=200) | VALUES.map(lambda found: json.dumps(found).encode()))
def test_any_octets_are_read_or_refused(octets):
    try:
        found = ring.parsed(octets)
    except ValueError:
        return
    assert ring.parsed(ring.written(found)) == found


@given(st.data())
def test_any_value_in_the_place_of_another_is_read_or_refused(data):
    path = data.draw(st.sampled_from([("keys",), ("keys", "a"), *(("keys", "a", each) for each in GOOD["keys"]["a"])]))
    value = data.draw(st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=30) | st.just({}))
    try:
        found = ring.parsed(changed(*path, to=value))
    except ValueError:
        return
    assert ring.parsed(ring.written(found)) == found


def test_the_file_is_replaced_with_the_group_of_its_folder(tmp_path):
    place = write(tmp_path, DOMAIN, "x", b"").parent / ring.NAME
    if os.geteuid() == 0:
        os.chown(place.parent, -1, 12345)
    ring.save(str(tmp_path), NAME, Ring())
    first = place.stat()
    ring.save(str(tmp_path), NAME, Ring({"a": Kept.new("a", RECORDS[0], 1)}))
    assert stat.S_IMODE(place.stat().st_mode) == 0o640
    assert place.stat().st_gid == place.parent.stat().st_gid
    assert place.stat().st_ino != first.st_ino
    assert [*ring.load(str(tmp_path), NAME).keys] == ["a"]
    assert sorted(each.name for each in place.parent.iterdir()) == [ring.NAME, "x.pem"]


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_file_is_not_waited_for(tmp_path, kind):
    place = write(tmp_path, DOMAIN, "x", b"").parent / ring.NAME
    place.mkdir() if kind == "folder" else os.mkfifo(place)
    with pytest.raises(BadRing, match="cannot be read"):
        ring.load(str(tmp_path), NAME)


def test_only_one_process_changes_the_keys(tmp_path):
    write(tmp_path, DOMAIN, "x", b"")
    with ring.locked(str(tmp_path), NAME), pytest.raises(Busy), ring.locked(str(tmp_path), NAME):
        pass
    # a failure inside gives the lock back
    with pytest.raises(BlockingIOError), ring.locked(str(tmp_path), NAME):
        raise BlockingIOError
    with ring.locked(str(tmp_path), NAME):
        pass


def test_the_order_of_states():
    found = Kept.new("a", RECORDS[0], 1)
    for at, state in enumerate((State.PUBLISHED, State.ACTIVE, State.RETIRED, State.REVOKED), 2):
        found = found.to(state, at)
        assert (found.state, found.since) == (state, at)
    assert found.made == 1
    for state in State:
        with pytest.raises(ValueError, match="cannot follow"):
            found.to(state, 9)
    with pytest.raises(ValueError, match="active cannot follow prepared"):
        Kept.new("a", RECORDS[0], 1).to(State.ACTIVE, 2)


# --- the configuration


def configuration(folder, text="active"):
    path = folder / "mailassay.yaml"
    path.write_text(f"sign:\n  directory: {folder}\n  domains:\n    {DOMAIN}: {text}\n")
    return str(path)


def stored(folder, states):
    """Keys in these states, with their files."""
    made = {}
    for selector, state in states.items():
        write(folder, DOMAIN, selector, pem("ed25519", selector))
        record = keys.read(str(folder), NAME, selector).record
        made[selector] = Kept(selector, record, 1, state, {State.PREPARED: 1, state: 2})
    ring.save(str(folder), NAME, Ring(made))


def test_active_keys_sign(tmp_path):
    stored(tmp_path, {"a": State.ACTIVE, "b": State.RETIRED, "c": State.ACTIVE, "d": State.PUBLISHED})
    for text in ("active", "{keys: active}"):
        found = load(configuration(tmp_path, text), keys=True)
        assert found.sign.domains[NAME].keys is None
        assert [each.selector for each in found.signing_keys[NAME]] == ["a", "c"]
    # a key of this name
    write(tmp_path, DOMAIN, "active", pem("ed25519"))
    found = load(configuration(tmp_path, "[active]"), keys=True)
    assert [each.selector for each in found.signing_keys[NAME]] == ["active"]


def mistake(folder):
    with pytest.raises(ConfigError) as found:
        load(configuration(folder), keys=True)
    [only] = found.value.problems
    assert only.line == 4
    return only.message


def test_without_an_active_key_the_configuration_has_a_mistake(tmp_path):
    """Nothing would be signed, and nobody would notice."""
    assert f"{tmp_path}/{DOMAIN}/keys.json does not exist" in mistake(tmp_path)
    stored(tmp_path, {"a": State.RETIRED})
    assert "has no active key" in mistake(tmp_path)
    stored(tmp_path, {"a": State.ACTIVE})
    (tmp_path / DOMAIN / "a.pem").unlink()
    assert "a.pem cannot be read" in mistake(tmp_path)
    (tmp_path / DOMAIN / "keys.json").write_bytes(changed("version", to=7))
    assert "it is of version 7" in mistake(tmp_path)
    # a command that signs nothing does not read it
    assert load(configuration(tmp_path)).signing_keys == {}
