"""`sign:` in mailassay.yaml, and the keys that it names."""

import json
import pickle

import pytest

from mailassay.cli import main
from mailassay.config import ConfigError, load, warnings
from mailassay.config.signing import doubts
from mailassay.domain import Domain
from mailassay.sign import Believed, Seal, Unsignable
from tests.lab.signing import pem, write

LONG = ".".join(["x" * 60] * 3) + ".example"  # with a selector of 60 characters, above 253


def written(folder, sign):
    path = folder / "mailassay.yaml"
    path.write_text(sign)
    return str(path)


def problems(folder, sign, *, keys=False):
    with pytest.raises(ConfigError) as error:
        load(written(folder, sign), keys=keys)
    return [(each.line, each.column, each.message) for each in error.value.problems]


def test_all_keys(tmp_path):
    found = load(
        written(
            tmp_path,
            f"""
sign:
  domains:
    Example.ORG: [2026a, 2026.b]
    bücher.example: {{keys: [2027]}}
    example.com: s
  directory: {tmp_path}
  subdomains: true
  from: login
  logins: {{anna: [anna@example.org, .example.com], 12: x@example.com}}
  unsignable: defer
""",
        )
    ).sign
    assert {domain: each.keys for domain, each in found.domains.items()} == {
        Domain("example.org"): ("2026a", "2026.b"),
        Domain("xn--bcher-kva.example"): ("2027",),
        Domain("example.com"): ("s",),
    }
    assert (found.directory, found.subdomains) == (str(tmp_path), True)
    assert (found.believed, found.unsignable) == (Believed.LOGIN, Unsignable.DEFER)
    assert "x@sub.example.com" in found.logins["anna"]
    assert "bob@example.org" not in found.logins["anna"]
    assert "x@example.com" in found.logins["12"]


@pytest.mark.parametrize("text", ["{}", "sign:\n", "sign: {domains: }", "sign: {domains: {}}"])
def test_nothing_is_signed_without_a_domain(tmp_path, text):
    found = load(written(tmp_path, text), keys=True)
    assert not found.sign.domains
    assert not found.signing_keys


@pytest.mark.parametrize(
    ("sign", "place", "what"),
    [
        ("sign:\n  domains:\n    example.org: ../../x", (3, 18), "sign.domains.example.org: expected a selector"),
        ("sign:\n  domains:\n    example.org: [a, -b]", (3, 22), "expected a selector"),
        ("sign:\n  domains:\n    example.org: []", (3, 18), "expected at least one"),
        ("sign:\n  domains:\n    example.org:", (3, 17), "needs `keys`"),
        ("sign:\n  domains:\n    example.org: {key: a}", (3, 19), "did you mean `sign.domains.example.org.keys`?"),
        ("sign:\n  domains:\n    .example.org: a", (3, 5), "sign.domains: expected a domain such as example.org"),
        ("sign:\n  domains:\n    '*': a", (3, 5), "expected a domain such as example.org"),
        ("sign:\n  domains:\n    org: a", (3, 5), "expected a domain such as example.org"),
        ("sign:\n  domains:\n    a.b: x\n    A.b: y", (3, 5), "a.b is there twice"),
        ("sign:\n  domains: example.org", (2, 12), "expected a map"),
        ("sign:\n  domains:\n    a.b: x\n    c.d: [dup, DUP]", (4, 10), "differ only in upper and lower case"),
        (f"sign:\n  domains:\n    a.b: x\n    {LONG}: {'s' * 60}", (3, 5), "the key record cannot be in DNS"),
        (f"sign:\n  seal_as: {LONG}/{'s' * 60}", (2, 12), "the key record cannot be in DNS"),
        ("sign:\n  directory: keys", (2, 14), "absolute path of a folder"),
        ("sign:\n  from: header", (2, 9), "expected envelope | login | any"),
        ("sign:\n  from: login", (2, 3), "`from: login` needs `logins`"),
        ("sign:\n  logins: {anna: ['@']}", (2, 19), "expected an address"),
        # it stands for a login that is not UTF-8
        ("sign:\n  logins: {'?': [a@example.org]}", (2, 12), "expected a login"),
        ("sign:\n  unsignable: hold", (2, 15), "expected send | defer | reject"),
        ("sign:\n  keys: x", (2, 3), "unknown key `sign.keys`"),
        ("sign:\n  seal: all", (2, 3), "`seal: all` needs `seal_as`, the key that seals"),
        ("sign:\n  seal: some", (2, 9), "expected none | all"),
        ("sign:\n  seal_as: example.org", (2, 12), "expected a domain and a selector such as example.org/2026a"),
        ("sign:\n  seal_as: a.example/b/c", (2, 12), "expected a domain and a selector"),
        ("sign:\n  seal_as: ../x", (2, 12), "expected a domain and a selector"),
        ("sign:\n  seal_as: a.example/../x", (2, 12), "expected a domain and a selector"),
        ("sign:\n  seal_as: [a.example/x]", (2, 12), "expected a domain and a selector"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path, sign, place, what):
    found = problems(tmp_path, sign)
    assert any((line, column) == place and what in text for line, column, text in found), found


def test_each_key_that_cannot_be_used_is_named_with_the_line_of_its_domain(tmp_path):
    write(tmp_path, "b.example", "good")
    write(tmp_path, "b.example", "bad", b"x")
    sign = f"sign:\n  directory: {tmp_path}\n  domains:\n    B.example: [good, bad]\n    c.example: [x, y]\n"
    # a command that signs nothing does not read them
    assert load(written(tmp_path, sign)).signing_keys == {}
    found = problems(tmp_path, sign, keys=True)
    assert [(line, column) for line, column, _ in found] == [(4, 5), (5, 5), (5, 5)]
    assert f"{tmp_path}/b.example/bad.pem is not a private key; make others, and name them instead: " in found[0][2]
    assert f"{tmp_path}/c.example/x.pem cannot be read: No such file" in found[1][2]


def test_keys_reach_a_worker_by_the_settings(tmp_path):
    write(tmp_path, "a.example", "s", pem("ed25519"))
    found = load(written(tmp_path, f"sign: {{directory: {tmp_path}, domains: {{a.example: s}}}}"), keys=True)
    [key] = pickle.loads(pickle.dumps(found)).signing_keys["a.example"]
    assert len(key.sign(bytes(32))) == 64
    # whatever prints the settings prints no key
    assert "PRIVATE" not in repr(found)
    assert key.pem.decode().splitlines()[1] not in repr(found)


def test_config_check_names_the_key_and_its_mend(tmp_path, capsys):
    place = write(tmp_path, "a.example", "s")
    tmp_path.chmod(0o700)
    path = written(tmp_path, f"sign: {{directory: {tmp_path}, domains: {{a.example: s}}}}")
    assert main(["config", "check", "--json", "--config", path]) == 0
    assert not [each for each in json.loads(capsys.readouterr().out)["findings"] if each["code"] == "signing-key"]
    place.chmod(0o644)
    assert main(["config", "check", "--json", "--config", path]) == 0
    [found] = [each for each in json.loads(capsys.readouterr().out)["findings"] if each["code"] == "signing-key"]
    assert (found["severity"], found["line"], found["fix"]) == ("warning", 1, f"chmod o-r {place}")
    place.unlink()
    assert main(["config", "check", "--json", "--config", path]) == 1
    [found] = json.loads(capsys.readouterr().out)["findings"]
    assert (found["severity"], found["path"]) == ("error", path)
    assert str(place) in found["what"]


def test_a_folder_that_everybody_can_write_to_is_said_once(tmp_path):
    for selector in ("a", "b"):
        write(tmp_path, "a.example", selector)
    tmp_path.chmod(0o777)
    found = load(written(tmp_path, f"sign: {{directory: {tmp_path}, domains: {{a.example: [a, b]}}}}"), keys=True)
    [doubt] = doubts(found, "x.yaml", None)
    assert doubt.message == f"sign: {tmp_path} has the mode 0777: everybody on this host can replace the keys; " + (
        f"chmod go-w {tmp_path}"
    )
    assert doubt in warnings(found, "x.yaml", 0.0, [])


SEALS = "sign:\n  directory: {0}\n  seal: all\n  seal_as: {1}\n"


def test_the_key_that_seals(tmp_path):
    """Its domain need not be one that signs. It is read with the others, if anything is sealed."""
    write(tmp_path, "bücher.example".encode("idna").decode(), "2026.a")
    sign = SEALS.format(tmp_path, "Bücher.example/2026.a")
    found = load(written(tmp_path, sign), keys=True)
    assert (found.sign.seal, str(found.sign.seal_as)) == (Seal.ALL, "xn--bcher-kva.example/2026.a")
    assert str(pickle.loads(pickle.dumps(found)).sealing_key) == "xn--bcher-kva.example/2026.a"
    assert found.signing_keys == {}
    assert "PRIVATE" not in repr(found)
    assert load(written(tmp_path, sign)).sealing_key is None
    assert load(written(tmp_path, sign.replace("all", "none")), keys=True).sealing_key is None
    assert load(written(tmp_path, "{}"), keys=True).sign.seal is Seal.NONE


def test_a_sealing_key_that_cannot_be_used_is_named_with_its_line(tmp_path):
    found = problems(tmp_path, SEALS.format(tmp_path, "a.example/s"), keys=True)
    [(line, column, text)] = found
    assert (line, column) == (4, 3)
    assert f"sign: {tmp_path}/a.example/s.pem cannot be read: No such file" in text
    assert "; make keys, and name them: mailassay key new a.example" in text


def test_a_sealing_key_that_everybody_can_read_is_a_warning(tmp_path):
    place = write(tmp_path, "a.example", "s")
    tmp_path.chmod(0o700)
    place.chmod(0o644)
    found = load(written(tmp_path, SEALS.format(tmp_path, "a.example/s")), keys=True)
    [doubt] = doubts(found, "x.yaml", None)
    assert (doubt.line, doubt.column) == (4, 3)
    assert f"chmod o-r {place}" in doubt.message
