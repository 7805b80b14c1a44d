"""What the doctor says of signing. tests/e2e/test_signing_doctor.py obeys it at a real Postfix."""

import os
import pwd
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.config import Dns, Settings
from mailassay.doctor import examine
from mailassay.doctor import signing as doctor_signing
from mailassay.doctor.facts import Table, User
from mailassay.doctor.gather_signing import doubts, published
from mailassay.domain import Domain
from mailassay.finding import Severity
from mailassay.resolver import Answer, Deadline
from mailassay.sign import Believed, Selectors, Sign
from mailassay.sign import keys as private_keys
from mailassay.sign.published import Published, look
from mailassay.zone import Zone
from tests.lab.dns import DnsServer
from tests.lab.findings import codes
from tests.lab.folder import open_folder
from tests.lab.healthy import GOOD, OURS, configured, service
from tests.lab.limits import LIMITS
from tests.lab.signing import DOMAIN, ED, RSA, pem, signing, write

MAIN = {
    "non_smtpd_milters": OURS,
    "internal_mail_filter_classes": "bounce",
    "disable_mime_output_conversion": "yes",
    "smtp_line_length_limit": "0",
    "smtpd_sender_login_maps": "hash:/etc/postfix/logins",
    "smtpd_sender_restrictions": "reject_authenticated_sender_login_mismatch",
}
OUT = service("relay", "unix", "smtp")
OTHER = "unix:other/other.sock"
FILTER = "smtp:[127.0.0.1]:10024"
SIGN = Sign({Domain(DOMAIN): Selectors((RSA,))})


def facts(*services, believed=Believed.ENVELOPE, tables=None, **values):
    """A Postfix whose mail mailassay signs; without services, one for strangers and one for users who log in."""
    lines = services or (service(), service("submission", smtpd_sasl_auth_enable="yes"))
    settings = replace(GOOD.settings, sign=replace(SIGN, believed=believed))
    found = {**MAIN, **values}
    # as configured() has it: an option of a service stands beside what main.cf has
    lines = [
        replace(each, values={**each.values, **found, **each.overrides}) if each.values else each for each in lines
    ]
    return replace(GOOD, settings=settings, postfix=configured(*lines, OUT, **found), tables=tables or {})


def told(found):
    """What is wrong, by severity and code."""
    return {(str(each.severity), each.code) for each in examine(found) if each.severity is not Severity.FINE}


def commands(found, code):
    return [command for each in examine(found) if each.code == code for command in each.commands]


def test_nothing_is_wrong_where_all_is_as_it_should_be():
    assert told(facts()) == set()
    fine = {each.code for each in examine(facts())}
    assert fine >= {"sign-submission", "sign-non-smtpd", "sign-senders"}


SUBMISSION = {"smtpd_sasl_auth_enable": "yes"}
WRONG = {
    "a submission service without us": (
        facts(service(), service("submission", smtpd_milters=OTHER)),
        ("error", "sign-submission"),
        [f"postconf -P submission/inet/smtpd_milters={OTHER},{OURS}"],
    ),
    "submissions without milters": (
        facts(service(), service("submissions", smtpd_milters="")),
        ("error", "sign-submission"),
        [f"postconf -P submissions/inet/smtpd_milters={OURS}"],
    ),
    "TLS from the beginning, on another port": (
        facts(service(), service("10465", smtpd_tls_wrappermode="yes", smtpd_milters="")),
        ("error", "sign-submission"),
        [f"postconf -P 10465/inet/smtpd_milters={OURS}"],
    ),
    "a submission service where no milter is asked": (
        facts(service(), service("submission", receive_override_options="no_milters,no_address_mappings")),
        ("error", "sign-submission"),
        ["postconf -P submission/inet/receive_override_options=no_address_mappings"],
    ),
    "sendmail": (
        facts(non_smtpd_milters=OTHER),
        ("warning", "sign-non-smtpd"),
        [f"postconf -e 'non_smtpd_milters={OTHER}, {OURS}'"],
    ),
    "bounces": (
        facts(internal_mail_filter_classes="notify"),
        ("warning", "sign-bounces"),
        ["postconf -e 'internal_mail_filter_classes=notify, bounce'"],
    ),
    "twice in a list": (
        facts(non_smtpd_milters=f"{OURS}, unix:/var/spool/postfix/mailassay/mailassay.sock, inet:localhost:8891"),
        ("warning", "sign-twice"),
        [f"postconf -e 'non_smtpd_milters={OURS}, inet:localhost:8891'"],
    ),
    "twice at a service": (
        facts(service(), service("submission", smtpd_milters=f"{{ {OURS}, protocol=6 }}, {OURS}", **SUBMISSION)),
        ("warning", "sign-twice"),
        [f"postconf -P 'submission/inet/smtpd_milters={{{OURS},protocol=6}}'"],
    ),
    "a milter behind us": (
        facts(non_smtpd_milters=f"{OURS}, {OTHER}, inet:localhost:8891"),
        ("note", "sign-behind"),
        [f"postconf -e 'non_smtpd_milters={OTHER}, {OURS}, inet:localhost:8891'"],
    ),
    "a scanner behind us, for own users": (
        facts(service(), service("submission", smtpd_milters=f"{OURS}, unix:clamav/clamav.sock", **SUBMISSION)),
        ("note", "sign-behind"),
        [f"postconf -P submission/inet/smtpd_milters=unix:clamav/clamav.sock,{OURS}"],
    ),
    "a content filter": (
        facts(service(), service("submission", content_filter=FILTER, **SUBMISSION)),
        ("note", "sign-filter"),
        [],
    ),
    "a table that removes signatures": (
        facts(tables={"milter_header_checks": (Table("regexp:/x", "/^DKIM/ IGNORE", "", "IGNORE"),)}),
        ("error", "sign-milter-checks"),
        [],
    ),
    "8-bit text": (
        facts(disable_mime_output_conversion="no"),
        ("note", "sign-8bit"),
        ["postconf -e disable_mime_output_conversion=yes"],
    ),
    "long lines": (
        facts(smtp_line_length_limit="998"),
        ("note", "sign-lines"),
        ["postconf -e smtp_line_length_limit=0"],
    ),
    "generic maps": (facts(smtp_generic_maps="hash:/etc/postfix/generic"), ("warning", "sign-generic"), []),
    "header checks": (facts(smtp_header_checks="pcre:/etc/postfix/x"), ("note", "sign-checks"), []),
    "checks of MIME": (facts(smtp_mime_header_checks="pcre:/etc/postfix/x"), ("note", "sign-checks"), []),
    "checks of what is within": (facts(smtp_nested_header_checks="pcre:/etc/postfix/x"), ("note", "sign-checks"), []),
    "checks of the body": (facts(smtp_body_checks="pcre:/etc/postfix/x"), ("note", "sign-checks"), []),
    "no table of logins": (facts(smtpd_sender_login_maps=""), ("warning", "sign-senders"), []),
    "no comparison of logins": (
        facts(smtpd_sender_restrictions="reject_unknown_sender_domain"),
        ("warning", "sign-senders"),
        [
            "postconf -e "
            "'smtpd_sender_restrictions=reject_authenticated_sender_login_mismatch, reject_unknown_sender_domain'"
        ],
    ),
    "a comparison that no login reaches": (
        facts(smtpd_sender_restrictions="permit_sasl_authenticated, reject_sender_login_mismatch"),
        ("warning", "sign-senders"),
        [
            "postconf -e "
            "'smtpd_sender_restrictions=reject_authenticated_sender_login_mismatch, permit_sasl_authenticated'"
        ],
    ),
    "a comparison of the addresses in the table alone": (
        facts(smtpd_sender_restrictions="reject_known_sender_login_mismatch"),
        ("warning", "sign-senders"),
        [
            "postconf -e "
            "'smtpd_sender_restrictions=reject_authenticated_sender_login_mismatch, reject_known_sender_login_mismatch'"
        ],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_and_what_sets_it_right(name):
    found, what, fix = WRONG[name]
    assert told(found) == {what}
    assert commands(found, what[1]) == fix
    # nothing is said if nothing is signed
    nothing = replace(found, settings=replace(found.settings, sign=Sign()))
    assert what[1] not in {code for _, code in told(nothing)}


def test_services_for_users_are_examined_like_others_if_their_mail_is_signed():
    """Their options, and their way to our socket."""
    accepting = service("submission", milter_default_action="accept", **SUBMISSION)
    assert told(facts(service(), accepting)) == {("warning", "milter-default-action")}
    [found] = [each for each in examine(facts(service(), accepting)) if each.severity is Severity.WARNING]
    assert "mail of your own users leaves unsigned" in found.what
    assert found.commands == ("postconf -P submission/inet/milter_default_action=tempfail",)
    outside = service("submission", smtpd_milters="unix:/var/spool/postfix/mailassay/mailassay.sock", **SUBMISSION)
    assert told(facts(service(), outside)) == {("error", "chroot")}


def test_every_finding_is_tested():
    elsewhere = {"sign-permissions", "sign-record", "sign-record-unknown"}
    assert {code for _, (_, code), _ in WRONG.values()} | elsewhere == set(codes(Path(doctor_signing.__file__)))


FINE = {
    "a comparison in another list": facts(
        smtpd_sender_restrictions="",
        smtpd_recipient_restrictions="reject_sender_login_mismatch, permit_sasl_authenticated, reject",
    ),
    "a class of restrictions": facts(
        smtpd_sender_restrictions="own_senders", smtpd_restriction_classes="own_senders, others"
    ),
    "any author": facts(believed=Believed.ANY, smtpd_sender_login_maps="", smtpd_sender_restrictions=""),
    "the author of the login": facts(believed=Believed.LOGIN, smtpd_sender_login_maps="", smtpd_sender_restrictions=""),
    "nobody can log in": facts(service(), smtpd_sender_login_maps="", smtpd_sender_restrictions=""),
    "signed after the filter of own users": facts(
        service(),
        service("submission", content_filter=FILTER, smtpd_milters="", **SUBMISSION),
        service("127.0.0.1:10025"),
    ),
    "a table about other fields": facts(
        tables={"milter_header_checks": (Table("regexp:/x", "/^Auth/ WARN", "WARN", "WARN"),)}
    ),
    "another Postfix, without the parameters": facts(disable_mime_output_conversion="", smtp_line_length_limit=""),
    "a signer behind us": facts(non_smtpd_milters=f"{OURS}, inet:localhost:8891"),
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_fine(name):
    assert told(FINE[name]) == set()


def test_a_filter_of_incoming_mail_hands_it_to_a_service_without_us():
    """Its results would be removed there."""
    found = facts(service(), service("127.0.0.1:10025", content_filter=""), content_filter=FILTER)
    assert ("error", "content-filter") in told(found)
    assert ("error", "content-filter") not in told(FINE["signed after the filter of own users"])


def test_a_scanner_of_incoming_mail_is_mentioned_once():
    found = facts(service(), smtpd_milters=f"{OURS}, unix:clamav/clamav.sock")
    assert told(found) == {("note", "milter-behind")}


def test_our_own_socket_is_a_signer():
    """Another signer on this host does not make mail unsigned that we sign."""
    other = replace(facts(), signing={"/etc/opendkim.conf": "inet:8891@localhost"})
    assert "unsigned" not in {code for _, code in told(other)}
    assert told(replace(other, settings=replace(other.settings, sign=Sign()))) >= {("error", "unsigned")}


def _another():
    with TemporaryDirectory() as folder:
        [[_, found]] = signing(Path(folder)).signing_keys.values()
        return found


ANOTHER = _another()


@pytest.fixture
def keys(tmp_path):
    return signing(tmp_path)


def zone(keys, **other):
    """The key records, those of ``other`` selectors in place of their own; None for none."""
    [found] = keys.signing_keys.values()
    records = {key.selector: key.record for key in found} | other
    return Zone(
        "\n".join(
            f'{selector}._domainkey.{DOMAIN} TXT "{each}"'
            for selector, texts in records.items()
            for each in ([texts] if isinstance(texts, str) else texts or ())
        ),
        limits=LIMITS,
    )


def seen(keys, **other):
    [found] = keys.signing_keys.values()
    resolve = Deadline(zone(keys, **other), float("inf"), lambda: 0.0)
    return {key.selector: look(key, resolve) for key in found}


def test_records_that_are_right(keys):
    assert all(each.is_right for each in seen(keys).values())
    [rsa, ed] = (key.record for key in keys.signing_keys[Domain(DOMAIN)])
    # another form of the same key
    again = seen(keys, **{RSA: rsa.replace("v=DKIM1; k=rsa; ", "t=s; n=x; h=sha256; s=email; "), ED: ed + ";"})
    assert all(each.is_right for each in again.values())


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (None, "there is no TXT record"),
        ("v=DKIM1; k=rsa; p=", "the key is revoked (p= is empty)"),
        ("v=spf1 -all", "the key record's v= is not DKIM1 or not first"),
        ("{record}; t=y", "the record says that the key is only tested (t=y), so a verifier may ignore its signatures"),
        ("{record}; h=sha1", "the key record's h= does not allow sha256"),
        ("{other}", "the record has another key"),
        (["{record}", "v=spf1 -all"], "there are 2 TXT records, and a verifier may read any of them"),
    ],
)
def test_records_that_are_wrong(keys, tmp_path, record, problem):
    other = write(tmp_path, DOMAIN, "other", pem("rsa", "another")).parent.parent
    own = keys.signing_keys[Domain(DOMAIN)][0].record
    another = private_keys.read(str(other), Domain(DOMAIN), "other").record
    texts = [record] if isinstance(record, str) else record or []
    given = [each.replace("{record}", own).replace("{other}", another) for each in texts]
    found = seen(keys, **{RSA: given})
    assert (found[RSA].problem, found[RSA].is_right, found[RSA].missing) == (problem, False, not given)
    assert found[ED].is_right


@given(st.text(st.characters(max_codepoint=255), max_size=300), st.booleans())
def test_any_text_in_dns(text, is_beside):
    """No text is taken for the key but its own record, and none raises."""
    record = ANOTHER.record

    def resolve(name, rdtype):
        assert (name, rdtype) == (f"{ED}._domainkey.{DOMAIN}", "TXT")
        return Answer((record, text) if is_beside else (text,))

    assert not look(ANOTHER, resolve).is_right
    assert look(ANOTHER, lambda _, __: Answer((f"{record};{' ' * (len(text) % 3)}",))).is_right


def test_dns_that_gives_no_answer(keys):
    [key, _] = keys.signing_keys[Domain(DOMAIN)]
    resolve = Deadline(Zone(f"{RSA}._domainkey.{DOMAIN} TXT !", limits=LIMITS), float("inf"), lambda: 0.0)
    found = look(key, resolve)
    assert (found.problem, bool(found.trouble), found.is_right) == ("", True, False)


def test_the_records_are_asked_for_and_told(keys):
    """At a real server, one key after the other is published."""

    def findings(**other):
        with DnsServer(zone(keys, **other)) as server:
            settings = replace(keys, dns=Dns(nameservers=((server.address, server.port),)))
            found = published(settings, [], is_root=True)
        return [each for each in examine(replace(facts(), published=found)) if each.code.startswith("sign-record")]

    missing, other = findings(**{RSA: None, ED: "v=DKIM1; k=ed25519; p="})
    assert {each.severity for each in (missing, other)} == {Severity.ERROR}
    [rsa, _] = keys.signing_keys[Domain(DOMAIN)]
    assert missing.what == (
        f"DNS does not have the key {DOMAIN}/{RSA}, so nobody can verify by it: there is no TXT record at "
        f"{RSA}._domainkey.{DOMAIN}"
    )
    assert missing.fix == f'Publish "{rsa.record}" as TXT there; mailassay key check {DOMAIN} says more'
    assert [each.severity for each in findings(**{ED: None})] == [Severity.ERROR, Severity.FINE]
    assert [each.severity for each in findings()] == [Severity.FINE, Severity.FINE]
    assert pem().decode() not in "".join(each.text for each in (missing, other))


def test_the_key_that_seals_is_asked_for_once(keys):
    rsa, ed25519 = keys.signing_keys[Domain(DOMAIN)]
    with DnsServer(zone(keys)) as server:
        dns = Dns(nameservers=((server.address, server.port),))
        alone = Settings(sealing_key=rsa, dns=dns)
        assert published(alone, [], is_root=True) == (Published(rsa),)
        assert published(replace(keys, sealing_key=ed25519, dns=dns), [], is_root=True) == (
            Published(rsa),
            Published(ed25519),
        )


def test_without_an_answer_it_is_unknown(keys):
    [key, _] = keys.signing_keys[Domain(DOMAIN)]
    found = replace(facts(), published=(Published(key, trouble="timed out"),))
    assert told(found) == {("note", "sign-record-unknown")}


def test_without_keys_nobody_is_asked():
    unseen = []
    assert published(GOOD.settings, unseen, is_root=False) == ()
    assert unseen == []


def test_others_than_root_do_not_see_the_keys():
    unseen = []
    assert published(facts().settings, unseen, is_root=False) == ()
    assert unseen == ["whether DNS has the keys that sign: only root can read them"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files to others")
def test_a_key_that_the_user_of_the_daemon_cannot_read():
    """Whatever its name is: the folder that is closed is named, with the command that opens it."""
    nobody = pwd.getpwnam("nobody")
    daemon = User("nobody", nobody.pw_uid, frozenset([nobody.pw_gid]), "nogroup")
    with open_folder() as folder:
        folder.chmod(0o755)
        settings = signing(folder, {DOMAIN: ("s",)})
        closed = folder / DOMAIN
        (closed / "s.pem").chmod(0o640)
        os.chown(closed / "s.pem", 0, nobody.pw_gid)
        closed.chmod(0o755)
        assert doubts(settings, None, daemon) == ()
        closed.chmod(0o700)
        found = replace(facts(), doubts=doubts(settings, None, daemon))
        assert doubts(settings, None, None) == ()
    [finding] = [each for each in examine(found) if each.code == "sign-permissions"]
    what = f"the service cannot read keys in {closed}: its user, nobody, may not pass that folder"
    assert (finding.severity, finding.what) == (Severity.WARNING, what)
    assert finding.commands == (f"chgrp mailassay {closed} && chmod 0750 {closed}",)
