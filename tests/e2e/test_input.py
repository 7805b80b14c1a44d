"""Bad input through the real Postfix: a verdict each time, never a temporary failure, never a pass."""

import subprocess

import pytest

RECIPIENT = "bob@receiver.example"
BANK = b"From: alice@bank.example\r\n"
MESSAGES = {
    "empty": b"",
    "no fields": b"\r\njust a body\r\n",
    "only fields": BANK + b"Subject: x\r\n",
    "no From": b"Subject: x\r\n\r\nx\r\n",
    "NUL and bare CR": BANK + b"X: a\rb\r\n\r\na\0b\rc\r\n",
    "field of 100 kB": BANK + b"X-Big: " + b"x" * 100_000 + b"\r\n\r\nx\r\n",
    "folded field of 90 kB": BANK + b"X-Big: " + b"x\r\n " * 30_000 + b"x\r\n\r\nx\r\n",
    "line of 1 MB": BANK + b"\r\n" + b"x" * 1_000_000 + b"\r\n",
    "10,000 fields": BANK + b"".join(b"X-%d: v\r\n" % number for number in range(10_000)) + b"\r\nx\r\n",
    "100 signatures": BANK + b"DKIM-Signature: v=1; a=rsa-sha256; d=bank.example; s=x; b=AA\r\n" * 100 + b"\r\nx\r\n",
    "From of garbage": b"From: \xff\xfe <<@>>, a@bank.example\r\n\r\nx\r\n",
    "8-bit field name": BANK + b"X-\xff: v\r\n\r\nx\r\n",
    "not a header": b"this is no header field\r\n\r\nx\r\n",
}


def send(lab, message, helo=b"attacker.example", mail_from="eve@attacker.example"):
    with lab.postfix.client() as smtp:
        smtp.command("EHLO x")
        smtp.become("198.51.100.66")
        smtp.command(b"EHLO " + helo)
        return smtp.send(mail_from, [RECIPIENT], message)


@pytest.mark.parametrize("name", MESSAGES)
def test_messages(lab, name):
    reply = send(lab, MESSAGES[name])
    if b"bank.example" in MESSAGES[name]:
        assert reply.code == 550, reply
    else:
        assert reply.code == 250, reply
        entry = lab.serve.entry(reply.queue_id)
        assert entry["dmarc"] in ("permerror", "none")


@pytest.mark.parametrize("helo", [b"\xff\xfe\xfd", b"x" * 400, b"[1.2.3", b"<>", b"a;b=c", b"ho st"])
def test_helo_of_garbage(lab, helo):
    assert send(lab, BANK + b"\r\nx\r\n", helo).code == 550
    reply = send(lab, b"From: a@open.example\r\n\r\nx\r\n", helo)
    assert lab.serve.entry(reply.queue_id)["spf_helo"] == "none"


@pytest.mark.parametrize("mail_from", ['"a b"@x.example', "a@[192.0.2.1]", "x" * 200 + "@x.example", "a@b"])
def test_absurd_senders(lab, mail_from):
    reply = send(lab, b"From: a@open.example\r\n\r\nx\r\n", mail_from=mail_from)
    assert reply.code == 250
    assert lab.serve.entry(reply.queue_id)["spf"] != "pass"


def test_a_message_of_20_mb(lab):
    line = b"x" * 76 + b"\r\n"
    reply = send(lab, b"From: a@open.example\r\n\r\n" + line * (20 * 1024 * 1024 // len(line)))
    assert lab.serve.entry(reply.queue_id)["dmarc"] == "fail"


def test_mail_of_this_host_is_not_judged(make_lab):
    """sendmail(1) has no client; Postfix says it is 127.0.0.1."""
    lab = make_lab(more="non_smtpd_milters = $smtpd_milters\n", trusted_networks=["127.0.0.0/8"])
    forged = b"Authentication-Results: mx.receiver.example; dmarc=pass\n"
    subprocess.run(
        ["/usr/sbin/sendmail", "-C", str(lab.postfix.folder / "etc"), "-f", "root@receiver.example", RECIPIENT],
        input=forged + b"From: root@receiver.example\nSubject: local\n\nx\n",
        check=True,
    )
    lab.serve.wait_for('"rule": "trusted_network"')
    queue_id = next(each["queue_id"] for each in lab.serve.entries() if each.get("rule") == "trusted_network")
    header = lab.postfix.delivered(queue_id).partition(b"\n\n")[0]
    assert header.startswith(b"Authentication-Results: mx.receiver.example; none\n")
    assert b"dmarc=pass" not in header


def test_postfix_gives_us_its_name(make_lab):
    """authserv_id is Postfix's myhostname where the configuration has none."""
    lab = make_lab(authserv_id=None)
    reply = send(lab, b"From: a@open.example\r\n\r\nx\r\n")
    assert lab.postfix.delivered(reply.queue_id).startswith(b"Authentication-Results: mx.receiver.example;\n iprev=")


def test_dead_service_defers(make_lab):
    """milter_default_action = tempfail: nothing comes in unjudged."""
    lab = make_lab()
    lab.serve.__exit__(None, None, None)
    with lab.postfix.client() as smtp:
        smtp.command("EHLO x")
        smtp.become("198.51.100.66")
        smtp.command("EHLO x")
        assert smtp.send("eve@attacker.example", [RECIPIENT], BANK + b"\r\nx\r\n").code in (421, 451)
