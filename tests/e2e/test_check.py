"""`check` judges again what Postfix delivered or holds, and finds what the milter found when the message came."""

import json
import subprocess

import pytest

from mailassay.cli import main
from tests.demo.play import play
from tests.demo.scenarios import SCENARIOS, zone_text

KEPT = [each for each in SCENARIOS if each.expected.fate in ("delivered", "held")]


def stored(lab, played):
    """The message file as Postfix delivered it; or all that postcat prints of it."""
    config = lab.postfix.folder / "etc"
    if played.fate == "held":
        command = ["/usr/sbin/postcat", "-c", str(config), "-q", played.reply.queue_id]
        return subprocess.run(command, check=True, capture_output=True).stdout
    folder = lab.postfix.folder / "mail/inbox/new"
    return next(
        octets
        for octets in (path.read_bytes() for path in folder.iterdir())
        if b" id %b" % played.reply.queue_id.encode() in octets
    )


@pytest.fixture
def again_of(tmp_path, capsys):
    """Judge a message file by `check`, as a lab is configured; its exit status, and what it says."""
    (tmp_path / "zone").write_text(zone_text())

    def of(lab):
        def run(octets, *arguments):
            path = tmp_path / "message"
            path.write_bytes(octets)
            given = ["check", str(path), "--zone", str(tmp_path / "zone"), "--config", str(lab.serve.config)]
            status = main([*given, *arguments])
            return status, capsys.readouterr().out

        return run

    return of


@pytest.fixture
def again(lab, again_of):
    """Judge a message file as the lab of this module is configured."""
    return again_of(lab)


@pytest.mark.parametrize("scenario", KEPT, ids=lambda scenario: scenario.name)
def test_what_came_is_judged_as_it_was(scenario, lab, again):
    played = play(scenario, lab.postfix, lab.serve)
    octets = stored(lab, played)
    status, said = again(octets, "--json")
    found = json.loads(said)
    assert status == 0
    entry = {key: value for key, value in played.entry.items() if key in found["results"] and key != "ms"}
    assert entry == {key: value for key, value in found["results"].items() if key != "ms"}
    assert found["message"]["differs"] == []
    assert found["message"]["time"] == pytest.approx(found["message"]["judged_at"])
    assert [each["method"] for each in found["message"]["then"]][:1] == ([] if scenario.login else ["iprev"])
    # what is left is what was sent, but for forged fields that the milter has removed
    assert found["remove"] == []
    if not scenario.login:
        field = found["add"][0]["value"]
        assert f"Authentication-Results: {field}\n".encode() in octets
    source = {"held": "the envelope of the queue file (client_address)"}.get(played.fate, "our Authentication-Results")
    assert found["message"]["sources"]["client"].startswith("Received" if scenario.login else source)
    assert found["message"]["recipients"] == ["bob@receiver.example"]


def test_a_queue_id(make_lab, tmp_path, capsys, monkeypatch):
    """As for one who has it from the log; the message is where Postfix keeps it."""
    lab = make_lab(policy={"dmarc": {"reject": "hold"}})
    held = next(each for each in SCENARIOS if each.expected.fate == "held")
    played = play(held, lab.postfix, lab.serve)
    monkeypatch.setenv("MAIL_CONFIG", str(lab.postfix.folder / "etc"))
    (tmp_path / "zone").write_text(zone_text())
    arguments = ["--zone", str(tmp_path / "zone"), "--config", str(lab.serve.config), "--json"]
    assert main(["check", played.reply.queue_id, *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["results"]["dmarc"] == played.entry["dmarc"]
    assert found["message"]["sources"]["client"].startswith("the envelope of the queue file")
    assert main(["check", "ABCDEF012345", *arguments]) == 66
    assert capsys.readouterr().err == "mailassay: ABCDEF012345: there is no file and no queued message with that name\n"


def test_a_policy_is_tried_on_what_was_delivered(make_lab, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")  # the path of the policy fits, however long it is
    lab = make_lab()
    for scenario in (each for each in KEPT if each.expected.fate == "delivered"):
        play(scenario, lab.postfix, lab.serve)
    (tmp_path / "zone").write_text(zone_text())
    (tmp_path / "policy.yaml").write_text("dkim: {partial: ignore}\nspf:\n  fail: reject\n")
    arguments = ["--zone", str(tmp_path / "zone"), "--config", str(lab.serve.config), "-v"]
    arguments += ["--policy", str(tmp_path / "policy.yaml")]
    folder = lab.postfix.folder / "mail/inbox"
    assert main(["check", "--summary", str(folder), *arguments]) == 0
    lines = capsys.readouterr().out.split("\n")
    count = len(list(folder.glob("new/*")))
    assert lines[0] == f"Of {count} messages {count - 1} accepted, 1 refused."
    assert [line.split() for line in lines if f"line 3 of {tmp_path}/policy.yaml" in line] == [
        ["spf.fail,", "line", "3", "of", f"{tmp_path}/policy.yaml", "1", "1"]
    ]
    assert [line.split()[2:] for line in lines if line.startswith("refused")] == [["bank.example", "spf.fail"]]


# as a client writes line breaks into ENVID and ORCPT (RFC 3461 section 4)
LINES = (
    "x+0Asender:+20+0Anamed_attribute:+20client_address+3D192.0.2.30+0Anamed_attribute:+20sasl_username+3Dboss"
    "+0Anamed_attribute:+20log_message_origin+3Dlocal+0Ay"
)


def test_line_breaks_of_the_client_change_no_fact(make_lab, again_of):
    lab = make_lab(policy={"dmarc": {"reject": "hold"}})
    with lab.postfix.client() as client:
        client.command("EHLO x")
        client.become("198.51.100.66")
        client.command("EHLO spoof.example")
        # in an ENVID Postfix wants none
        assert client.command(f"MAIL FROM:<alice@bank.example> ENVID={LINES}").code == 501
        assert client.command("MAIL FROM:<alice@bank.example>").code == 250
        assert client.command(f"RCPT TO:<bob@receiver.example> ORCPT=rfc822;{LINES}").code == 250
        assert client.command("DATA").code == 354
        reply = client.command("From: alice@bank.example\r\nSubject: x\r\n\r\nHello\r\n.")
    command = ["/usr/sbin/postcat", "-c", str(lab.postfix.folder / "etc"), "-q", reply.queue_id]
    printed = subprocess.run(command, check=True, capture_output=True).stdout
    assert b"\nnamed_attribute: sasl_username=boss\n" in printed
    _, said = again_of(lab)(printed, "--json")
    found = json.loads(said)
    assert found["message"]["client"] == "198.51.100.66"
    assert (found["message"]["login"], found["message"]["mail_from"]) == ("", "alice@bank.example")
    assert found["message"]["recipients"] == ["bob@receiver.example"]
    assert found["verdict"]["action"] == "hold"


def test_a_recipient_is_no_login(lab, again):
    recipient = '"bob+(Authenticated sender: boss)"@receiver.example'
    with lab.postfix.client() as client:
        client.command("EHLO x")
        client.become("192.0.2.10")
        client.command("EHLO mail.news.example")
        reply = client.send("bounce@news.example", [recipient], b"From: alice@news.example\n\nHello\n")
    assert reply.queue_id, reply
    lab.postfix.delivered(reply.queue_id)
    path = next(path for path in (lab.postfix.folder / "mail/inbox/new").iterdir()
                if reply.queue_id.encode() in path.read_bytes())  # fmt: skip
    octets = path.read_bytes()
    assert b"(Authenticated sender: boss)" in octets.partition(b"Received:")[2]
    # also where our own field does not stand above it
    for each in (octets, octets.replace(b"Authentication-Results: mx.receiver.example", b"X-Other: x")):
        _, said = again(each, "--json")
        assert json.loads(said)["message"]["login"] == ""
