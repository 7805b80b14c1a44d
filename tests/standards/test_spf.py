"""RFC 7208 section by section, with RFC 7372 and RFC 8616 where they changed it."""

import json
from ipaddress import ip_address

import pytest

from mailassay import address, spf
from mailassay.limits import Limits
from mailassay.policy import Policy, SpfActions
from mailassay.resolver import Deadline
from mailassay.verdict import Action
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.talk import Talk

CLIENT, CLIENT6 = "192.0.2.1", "2001:db8::1"


class Listening:
    """A zone that notes what it is asked."""

    def __init__(self, text):
        self._budget = Deadline(Zone(text, limits=LIMITS), float("inf"), lambda: 0.0)
        self.asked = []

    def __call__(self, name, rdtype):
        self.asked.append((name, rdtype))
        return self._budget(name, rdtype)


def check(zone, mail_from="user@example.com", client=CLIENT, helo="mail.example.net", limits=LIMITS):
    return spf.check_mail_from(address.client(client), mail_from, helo, Listening(zone), limits)


def result(terms, zone="", **more):
    """The result word for example.com with these terms in its record."""
    return check(f'example.com TXT "v=spf1 {terms}"\n{zone}', **more).result


def converse(zone, mail_from="<user@example.com>", helo="mail.example.net", policy=Policy()):
    """What becomes of one message."""
    return Talk(zone, policy, client=CLIENT, helo=helo).message(author="user@author.example", mail_from=mail_from)


def field(outcome):
    ((name, value),) = outcome.add
    assert name == "Authentication-Results"
    return value.replace("\n", "")


def test_rfc7208_2_3_the_helo_identity_is_checked_for_itself():
    """The HELO name is checked in addition to MAIL FROM, and the two results are kept apart."""
    zone = 'mail.example.net TXT "v=spf1 -all"\nexample.com TXT "v=spf1 ip4:192.0.2.1 -all"'
    evidence = converse(zone).evidence
    assert (evidence.spf_helo.result, evidence.spf_helo.domain) == ("fail", "mail.example.net")
    assert (evidence.spf_mail_from.result, evidence.spf_mail_from.domain) == ("pass", "example.com")


@pytest.mark.parametrize("helo", ["[192.0.2.1]", "[IPv6:2001:db8::1]", "localhost", ""])
def test_rfc7208_2_3_a_helo_that_is_no_domain_name_is_none(helo):
    """A HELO name that is an address literal or has one label gives none."""
    assert spf.check_mail_from(ip_address(CLIENT), "", helo, Listening(""), LIMITS).result == "none"


def test_rfc7208_2_4_mail_from_is_checked():
    """check_host() gets the domain of MAIL FROM and that address as the sender."""
    zone = 'example.com TXT "v=spf1 exists:%{l}.%{o}.who.example -all"\nuser.example.com.who.example A 127.0.0.2'
    assert " spf=pass smtp.mailfrom=example.com;" in field(converse(zone))


def test_rfc7208_2_4_a_null_reverse_path_is_postmaster_at_helo():
    """Without MAIL FROM the identity is postmaster at the HELO name, and the field says smtp.helo."""
    record = 'mail.example.net TXT "v=spf1 exists:%{s}.who.example -all"'
    zone = f"{record}\npostmaster@mail.example.net.who.example A 127.0.0.2"
    assert " spf=pass smtp.helo=mail.example.net;" in field(converse(zone, mail_from="<>"))


@pytest.mark.parametrize(
    "domain",
    [
        "a" * 64 + ".example.com",
        "no..example.com",
        ".example.com",
        ".".join(["abcdefg"] * 32),
        "com",
        "[192.0.2.1]",
        "",
        "example.com..",
        "b\ufffd.example",
        "\udcff.example.com",
    ],
)
def test_rfc7208_4_3_a_malformed_domain_is_none(domain):
    """A domain that is malformed or has one label gives none, without a question."""
    listening = Listening('com TXT "v=spf1 +all"')
    assert spf.check_mail_from(ip_address(CLIENT), f"user@{domain}", "", listening, LIMITS).result == "none"
    assert listening.asked == []


@pytest.mark.parametrize("mail_from", ["@example.com", "example.com"])
def test_rfc7208_4_3_a_missing_local_part_is_postmaster(mail_from):
    """If the sender has no local-part, it is "postmaster"."""
    assert result("exists:%{l}.who.example -all", "postmaster.who.example A 127.0.0.2", mail_from=mail_from) == "pass"


def test_rfc7208_4_4_only_txt_is_asked_for():
    """The record is asked for as type TXT, never as type 99."""
    listening = Listening('example.com TXT "v=spf1 -all"')
    spf.check_mail_from(ip_address(CLIENT), "user@example.com", "", listening, LIMITS)
    assert listening.asked == [("example.com", "TXT")]


@pytest.mark.parametrize(("trouble", "word"), [("!", "temperror"), ("?", "temperror")])
def test_rfc7208_4_4_a_lookup_that_fails_is_temperror(trouble, word):
    """SERVFAIL and silence are temperror."""
    assert check(f"example.com TXT {trouble}").result == word


def test_rfc7208_4_4_a_name_that_does_not_exist_is_none():
    """NXDOMAIN is none."""
    assert check("").result == "none"


def test_rfc7208_3_3_character_strings_are_joined_without_space():
    """Several character-strings of one record are one text."""
    assert check('example.com TXT "v=spf1 ip4:192." "0.2.1" " -all"').result == "pass"


@pytest.mark.parametrize(
    ("texts", "word"),
    [
        (['"v=spf1"'], "neutral"),
        (['"V=SPF1 -ALL"'], "fail"),
        (['"v=spf10 -all"'], "none"),
        (['"v=spf1-all"'], "none"),
        (['"v=spf1\t-all"'], "none"),
        (['" v=spf1 -all"'], "none"),
        (['"v=spf2.0/pra -all"'], "none"),
        (['"something else"'], "none"),
        (['"v=spf1 -all"', '"v=spf10 +all"', '"v=spf1\t+all"'], "fail"),
        (['"v=spf1 -all"', '"v=spf1 +all"'], "permerror"),
        (['"v=spf1 -all"', '"V=SPF1"'], "permerror"),
    ],
)
def test_rfc7208_4_5_record_selection(texts, word):
    """v=spf1 comes first, in any letter case, and is followed by a space or the end; no record is none, two are
    permerror.
    """
    assert check("\n".join(f"example.com TXT {text}" for text in texts)).result == word


def test_rfc7208_4_5_the_version_does_not_end_with_a_line():
    """A line feed after the version is neither a space nor the end: the text is not a record."""
    assert check('{"example.com": {"TXT": ["v=spf1\\n", "v=spf1 -all"]}}').result == "fail"


@pytest.mark.parametrize(
    "wrong",
    [
        "nonsense",
        "ip4:192.0.2.256",
        "al",
        "all.",
        "-",
        "+-all",
        "-all,",
        "a:",
        "a/33",
        "a//129",
        "a:example.com:8080/",
        "a:192.0.2.1",
        "ptr/24",
        "all/8",
        "all:example.com",
        "include",
        "include:",
        "include:example.com/24",
        "exists",
        "exists:example.com/24",
        "ipv4:192.0.2.1",
        "ip:192.0.2.1",
        "192.0.2.1",
        "prt",
        "-redirect=example.com",
        "=value",
        "1x=value",
        "redirect=",
        "exp=",
        "exp=%{r}.example.com",
        "x=%",
        "x=%{z}",
        "x=%{d",
        "a:example.com\r",
        "a:\x01.example.com",
        "a:%{d}\tptr",
        "a:ex\xe4mple.com",
        "\x96all",
    ],
)
@pytest.mark.parametrize("before", ["", "+all "])
def test_rfc7208_4_6_a_syntax_error_anywhere_is_permerror(wrong, before):
    """The whole record is read before it is evaluated: an error after a match counts."""
    assert check(json.dumps({"example.com": {"TXT": [f"v=spf1 {before}{wrong}"]}})).result == "permerror"


@pytest.mark.parametrize(
    "terms",
    [
        "",
        " ",
        "   a  ",
        "x=",
        "a.b_c-d=%{c}%{r}%{t}%%",
        "x=1 x=2 X=3",
        "default=+ op=x",
        "redirect2=x",
        "all=x",
        "include=x",
    ],
)
def test_rfc7208_6_unknown_modifiers_are_ignored(terms):
    """An unknown modifier is ignored, wherever and however often it occurs."""
    assert result(f"{terms} ~all {terms}", "example.com A 203.0.113.9") == "softfail"


@pytest.mark.parametrize(
    "modifiers",
    [
        "redirect=a.example redirect=a.example",
        "redirect=a.example REDIRECT=b.example",
        "exp=a.example exp=b.example",
        "exp=a.example Exp=a.example",
    ],
)
def test_rfc7208_6_redirect_and_exp_stand_once(modifiers):
    """redirect= or exp= more than once is permerror, even beside a match."""
    assert result(f"+all {modifiers}") == "permerror"


@pytest.mark.parametrize("record", ["V=SPF1 IP4:192.0.2.1 -ALL", "v=spf1 +A -all", "v=spf1 ReDiReCt=OTHER.example"])
def test_rfc7208_4_6_1_names_have_no_case(record):
    """Mechanisms, modifiers and the version are compared without case."""
    zone = f'example.com TXT "{record}"\nexample.com A 192.0.2.1\nother.example TXT "v=spf1 +all"'
    assert check(zone).result == "pass"


@pytest.mark.parametrize(
    ("qualifier", "word"), [("", "pass"), ("+", "pass"), ("-", "fail"), ("~", "softfail"), ("?", "neutral")]
)
def test_rfc7208_4_6_2_the_first_match_gives_the_result(qualifier, word):
    """Mechanisms are evaluated from left to right; the qualifier of the first that matches is the result."""
    assert result(f"-ip4:203.0.113.1 {qualifier}ip4:192.0.2.1 -all") == word


def test_rfc7208_4_6_2_nothing_behind_a_match_is_asked():
    """Evaluation ends with the first match: terms after it cost no question, and neither do their macros."""
    listening = Listening('example.com TXT "v=spf1 ip4:192.0.2.1 exists:%{p}.x.example include:%{p}.y.example -all"')
    assert spf.check_mail_from(ip_address(CLIENT), "user@example.com", "", listening, LIMITS).result == "pass"
    assert listening.asked == [("example.com", "TXT")]


HOSTS = "\n".join(f"h{number}.example A 203.0.113.{number}" for number in range(12))
TEN = " ".join(f"a:h{number}.example" for number in range(10))


@pytest.mark.parametrize("term", ["a:h10.example", "mx:h0.example", "ptr", "exists:h0.example", "include:h0.example"])
def test_rfc7208_4_6_4_more_than_ten_dns_terms_is_permerror(term):
    """The eleventh of include, a, mx, ptr and exists is permerror."""
    assert result(f"{TEN} {term} +all", HOSTS) == "permerror"


def test_rfc7208_4_6_4_redirect_counts_as_a_term():
    """A redirect that is followed is a term that asks DNS."""
    other = 'other.example TXT "v=spf1 +all"\n'
    assert result(f"{TEN} redirect=other.example", other + HOSTS) == "permerror"
    assert result(f"{TEN.partition(' ')[2]} redirect=other.example", other + HOSTS) == "pass"


def test_rfc7208_4_6_4_only_evaluated_terms_count():
    """If the tenth term matches, there is no error, whatever comes after it."""
    terms = TEN.replace("h9.", "match.")
    zone = f"{HOSTS}\nmatch.example A 192.0.2.1"
    assert result(f"{terms} a:h9.example redirect=other.example", zone) == "pass"


def test_rfc7208_4_6_4_terms_without_dns_do_not_count():
    """all, ip4, ip6, exp and unknown modifiers ask nothing."""
    many = " ".join(f"ip4:203.0.113.{number} ip6:2001:db8:{number:x}::" for number in range(100))
    assert result(f"{many} {TEN} exp=why.example x=y +all", HOSTS) == "pass"


def test_rfc7208_4_6_4_terms_of_included_records_count():
    """The limit is one for all records of a check."""
    six = TEN.split(" ")[:6]
    zone = f'{HOSTS}\nother.example TXT "v=spf1 {" ".join(six[:4])} ?all"'
    assert result(f"{' '.join(six)} include:other.example +all", zone) == "permerror"
    assert result(f"{' '.join(six[:5])} include:other.example +all", zone) == "pass"


def test_rfc7208_4_6_4_the_number_of_terms_is_the_policys():
    """The limit is the RFC's, unless the policy has another."""
    zone = f'{HOSTS}\nexample.com TXT "v=spf1 {TEN} a:h10.example +all"'
    assert check(zone, limits=Limits(spf_terms=11)).result == "pass"
    assert check(zone, limits=Limits(spf_terms=9)).reason == "more than 9 terms that ask DNS"


@pytest.mark.parametrize("target", ["example.com", "EXAMPLE.COM", "%{d}"])
def test_rfc7208_4_6_4_a_record_that_includes_itself_ends(target):
    """A loop ends at the limit, and is no error if a match comes first."""
    assert result(f"include:{target} -all") == "permerror"
    assert result(f"ip4:192.0.2.1 include:{target} -all") == "pass"
    assert result(f"redirect={target}") == "permerror"


def mail_hosts(number):
    return "\n".join(f"example.com MX {n} m{n}.example\nm{n}.example A 203.0.113.{n}" for n in range(number))


def test_rfc7208_4_6_4_more_than_ten_mx_hosts_is_permerror():
    """One mx term looks up at most ten hosts."""
    assert result("mx -all", mail_hosts(10)) == "fail"
    assert result("mx -all", mail_hosts(11)) == "permerror"
    zone = f'example.com TXT "v=spf1 mx -all"\n{mail_hosts(4)}'
    assert check(zone, limits=Limits(spf_mx_hosts=3)).reason == "more than 3 MX hosts"


def client_names(number):
    names = [f"n{n}.example.com" for n in range(number)]
    return "\n".join(f"1.2.0.192.in-addr.arpa PTR {name}\n{name} A 203.0.113.9" for name in names)


@pytest.mark.parametrize("terms", ["ptr -all", "exists:%{p}.who.example -all"])
def test_rfc7208_4_6_4_only_the_first_ten_names_of_a_client_count(terms):
    """PTR names after the first ten are ignored, for ptr and for the macro p."""
    more = "\n1.2.0.192.in-addr.arpa PTR right.example.com\nright.example.com A 192.0.2.1"
    zone = "\nright.example.com.who.example A 127.0.0.2\nunknown.who.example -"
    assert result(terms, client_names(9) + more + zone) == "pass"
    assert result(terms, client_names(10) + more + zone) == "fail"


@pytest.mark.parametrize("term", ["a:no{}.example", "mx:no{}.example", "exists:no{}.example", "a:empty{}.example"])
def test_rfc7208_4_6_4_more_than_two_void_lookups_is_permerror(term):
    """A third term without an answer, NXDOMAIN or empty, is permerror."""
    empty = "\n".join(f"empty{number}.example -" for number in range(3))
    terms = [term.format(number) for number in range(3)]
    assert result(f"{' '.join(terms[:2])} +all", empty) == "pass"
    assert result(f"{' '.join(terms)} +all", empty) == "permerror"
    zone = f'example.com TXT "v=spf1 {" ".join(terms)} +all"\n{empty}'
    assert check(zone, limits=Limits(spf_void_lookups=3)).result == "pass"


def test_rfc7208_4_6_4_void_lookups_are_counted_by_terms():
    """The limit is for terms: several hosts of one mx that have no IPv6 address count once."""
    zone = mail_hosts(5) + "\nmatch.example AAAA 2001:db8::1"
    assert result("mx a:match.example -all", zone, client=CLIENT6) == "pass"


def test_rfc7208_4_6_4_a_client_cannot_use_up_the_void_lookups():
    """The client's own PTR names, which it can invent, do not turn a fail into a permerror."""
    names = "\n".join(f"1.2.0.192.in-addr.arpa PTR gone{number}.example.com" for number in range(10))
    assert result("ptr -all", names) == "fail"


def test_rfc7208_4_6_4_out_of_time_is_temperror():
    """The whole check has a time limit; a question without an answer by then is temperror."""
    resolve = Deadline(Zone("example.com TXT ?", limits=LIMITS), 20.0, lambda: 21.0)
    assert spf.check_mail_from(ip_address(CLIENT), "user@example.com", "", resolve, LIMITS).result == "temperror"


def test_rfc7208_4_7_no_match_is_neutral():
    """If nothing matches and there is no redirect, the result is neutral."""
    assert result("-ip4:203.0.113.1") == "neutral"


def test_rfc7208_8_2_neutral_is_treated_as_none():
    """neutral and none lead to the same verdict, in the strictest policy too."""
    strict = Policy(spf=SpfActions(Action.REJECT, Action.REJECT, Action.REJECT, Action.REJECT))
    neutral, none = (converse(zone, policy=strict).verdict for zone in ('example.com TXT "v=spf1 ?all"', ""))
    assert neutral == none
    assert neutral.action == "accept"


@pytest.mark.parametrize(
    ("record", "word"),
    [
        ('TXT "v=spf1 +all"', "pass"),
        ('TXT "v=spf1 -all"', "softfail"),
        ('TXT "v=spf1 ~all"', "softfail"),
        ('TXT "v=spf1 ?all"', "softfail"),
        ('TXT "v=spf1"', "softfail"),
        ("TXT !", "temperror"),
        ('TXT "v=spf1 nonsense"', "permerror"),
        ('TXT "v=spf10"', "permerror"),
        ("-", "permerror"),
    ],
)
def test_rfc7208_5_2_include(record, word):
    """include: pass matches; fail, softfail and neutral do not; temperror stays; permerror and none are permerror."""
    assert result("include:other.example ~all", f"other.example {record}") == word


def test_rfc7208_5_2_an_included_pass_has_the_qualifier_of_the_include():
    """include: a match counts with the qualifier in front of it."""
    assert result("-include:other.example +all", 'other.example TXT "v=spf1 +all"') == "fail"


@pytest.mark.parametrize("term", ["include:%{d1} +all", "redirect=%{d1}", "include:%{l}..example +all"])
def test_rfc7208_5_2_a_malformed_target_has_no_record(term):
    """include, redirect: a malformed target or one label is permerror, without a question."""
    listening = Listening(f'example.com TXT "v=spf1 {term}"\ncom TXT "v=spf1 +all"')
    assert spf.check_mail_from(ip_address(CLIENT), "user@example.com", "", listening, LIMITS).result == "permerror"
    assert listening.asked == [("example.com", "TXT")]


def test_rfc7208_6_1_redirect_gives_the_other_records_result():
    """redirect: after no match the other record's result is the result."""
    assert result("redirect=other.example", 'other.example TXT "v=spf1 ~all"') == "softfail"


@pytest.mark.parametrize(
    "terms", ["~all redirect=other.example", "redirect=other.example ~all", "redirect=other.example ~ip4:192.0.2.1"]
)
def test_rfc7208_6_1_redirect_comes_last(terms):
    """redirect: it is evaluated after all mechanisms, wherever it is written, and never if there is an all."""
    assert result(terms, 'other.example TXT "v=spf1 -all"') == "softfail"


@pytest.mark.parametrize("target", ["other.example -", 'other.example TXT "v=spf10"', ""])
def test_rfc7208_6_1_redirect_to_no_record_is_permerror(target):
    """redirect: a target without a record is permerror, not none."""
    assert result("redirect=other.example", target) == "permerror"


@pytest.mark.parametrize("term", ["include:_%{d}", "redirect=_%{d}"])
def test_rfc7208_6_1_the_sender_stays_and_the_domain_changes(term):
    """redirect: in the other record %{d} is its own name, %{s}, %{l} and %{o} still the sender's."""
    zone = '_example.com TXT "v=spf1 exists:%{l}.%{o}.%{d}.who.example"\n'
    assert result(term, zone + "user.example.com._example.com.who.example A 127.0.0.2") == "pass"


def test_rfc7208_5_ipv4_mapped_clients_are_ipv4():
    """A client's IPv4 address in IPv6 form is matched as IPv4."""
    assert result("ip4:192.0.2.1 -all", client="::ffff:192.0.2.1") == "pass"
    assert result("ip6:::ffff:192.0.2.1 ip6:::/0 -all", client="::ffff:192.0.2.1") == "fail"
    assert (
        result("exists:%{i}.%{v}.example -all", "192.0.2.1.in-addr.example A 127.0.0.2", client="::ffff:192.0.2.1")
        == "pass"
    )


def test_rfc7208_5_a_link_local_client_has_no_zone():
    """The zone of a link-local address is not part of it."""
    assert result("ip6:fe80::/10 -all", client="fe80::1%eth0") == "pass"
    assert (
        result("exists:%{ir}.example -all", f"{'1' + '.0' * 28 + '.8.e.f'}.example A 127.0.0.2", client="fe80::1%eth0")
        == "pass"
    )


@pytest.mark.parametrize("term", ["a:bad.example", "mx:bad.example", "exists:bad.example", "mx:worse.example"])
def test_rfc7208_5_a_dns_error_is_temperror(term):
    """An RCODE other than 0 and 3, or no answer, ends the check with temperror."""
    zone = "bad.example * !\nworse.example MX 10 bad.example"
    assert result(f"{term} +all", zone) == "temperror"


@pytest.mark.parametrize("term", ["a:no.example", "mx:no.example", "exists:no.example", "ptr:no.example"])
def test_rfc7208_5_a_name_that_does_not_exist_matches_nothing(term):
    """NXDOMAIN is an empty answer."""
    assert result(f"{term} ~all") == "softfail"


@pytest.mark.parametrize(
    ("terms", "client", "word"),
    [
        ("a -all", CLIENT, "pass"),
        ("a -all", CLIENT6, "pass"),
        ("a -all", "192.0.2.2", "fail"),
        ("a/24 -all", "192.0.2.2", "pass"),
        ("a/24 -all", "2001:db8::2", "fail"),
        ("a//64 -all", "2001:db8::2", "pass"),
        ("a//64 -all", "192.0.2.2", "fail"),
        ("a/31//64 -all", "192.0.2.2", "fail"),
        ("a/0 -all", "203.0.113.9", "pass"),
        ("a//0 -all", "203.0.113.9", "fail"),
        ("a:example.com/24//64 -all", "192.0.2.200", "pass"),
        ("a:example.com./24 -all", "192.0.2.200", "pass"),
        ("a:%{d}/24 -all", "192.0.2.200", "pass"),
    ],
)
def test_rfc7208_5_3_a(terms, client, word):
    """a: the addresses of the client's kind, and the length that belongs to it."""
    assert result(terms, "example.com A 192.0.2.1\nexample.com AAAA 2001:db8::1", client=client) == word


def test_rfc7208_5_4_mx_does_not_fall_back_to_a():
    """mx: a domain without MX has no mail hosts, not even itself."""
    assert result("mx -all", "example.com A 192.0.2.1") == "fail"


def test_rfc7208_5_4_a_null_mx_matches_nothing():
    """mx: the root is not a mail host."""
    assert result("mx -all", "example.com MX 0 .") == "fail"


def test_rfc7208_5_4_mx_hosts_are_compared_in_order_of_preference():
    """mx: the hosts are compared one after the other, and none after a match is asked for."""
    zone = """
        example.com MX 20 broken.example
        example.com MX 9 first.example
        first.example A 192.0.2.1
        broken.example A !
    """
    assert result("mx -all", zone) == "pass"


@pytest.mark.parametrize(
    ("terms", "word"),
    [
        ("ptr -all", "pass"),
        ("ptr:EXAMPLE.com -all", "pass"),
        ("ptr:%{d} -all", "pass"),
        ("ptr:mail.example.com -all", "pass"),
        ("ptr:ample.com -all", "fail"),
        ("ptr:other.example -all", "fail"),
    ],
)
def test_rfc7208_5_5_ptr_matches_a_validated_name_in_the_domain(terms, word):
    """ptr: a name of the client that leads back to it and is the target or below it; others are not."""
    zone = """
        1.2.0.192.in-addr.arpa PTR forged.other.example
        1.2.0.192.in-addr.arpa PTR Mail.Example.COM
        forged.other.example A 203.0.113.1
        mail.example.com A 192.0.2.1
    """
    assert result(terms, zone) == word


def test_rfc7208_5_5_an_error_in_the_ptr_lookup_is_no_match():
    """ptr: a failing PTR lookup is no match, not temperror."""
    assert result("ptr ~all", "1.2.0.192.in-addr.arpa PTR !") == "softfail"


def test_rfc7208_5_5_an_error_in_an_address_lookup_skips_the_name():
    """ptr: a failing address lookup passes that name over."""
    zone = """
        1.2.0.192.in-addr.arpa PTR broken.example.com
        1.2.0.192.in-addr.arpa PTR mail.example.com
        broken.example.com A ?
        mail.example.com A 192.0.2.1
    """
    assert result("ptr -all", zone) == "pass"


@pytest.mark.parametrize(
    ("terms", "client", "word"),
    [
        ("ip4:192.0.2.0/24 -all", CLIENT, "pass"),
        ("ip4:192.0.2.0/32 -all", CLIENT, "fail"),
        ("ip4:203.0.113.1/0 -all", CLIENT, "pass"),
        ("ip4:0.0.0.0/0 -all", CLIENT6, "fail"),
        ("ip6:2001:db8::/32 -all", CLIENT6, "pass"),
        ("ip6:2001:DB8:0:0:0:0:0.0.0.1 -all", CLIENT6, "pass"),
        ("ip6:2001:db8::2/127 -all", CLIENT6, "fail"),
        ("ip6:::/0 -all", CLIENT6, "pass"),
        ("ip6:::/0 -all", CLIENT, "fail"),
    ],
)
def test_rfc7208_5_6_addresses(terms, client, word):
    """ip4, ip6: the client's address is compared in as many bits as the length says."""
    assert result(terms, client=client) == word


@pytest.mark.parametrize(
    "term",
    [
        "ip4:192.0.2.0/33",
        "ip4:192.0.2.0/024",
        "ip4:192.0.2.0/00",
        "ip4:192.0.2.0/",
        "ip4:192.0.2.0/+8",
        "ip4:192.0.2.0//32",
        "ip4:192.0.2.0/24//32",
        "ip4:192.0.2",
        "ip4:192.0.02.1",
        "ip4:192.0.2.1.1",
        "ip4:192.0.2.1:25",
        "ip4:example.com",
        "ip4:",
        "ip4",
        "ip6:2001:db8::/129",
        "ip6:2001:db8::/064",
        "ip6:2001:db8::/",
        "ip6:2001:db8::1::1",
        "ip6:1:2:3:4:5:6:7",
        "ip6:1:2:3:4:5:6:7:8:9",
        "ip6:1:2:3:4:5:6:7::8",
        "ip6:2001:db8::12345",
        "ip6:2001:db8::192.0.02.1",
        "ip6:[2001:db8::1]",
        "ip6:fe80::1%eth0",
        "ip6:192.0.2.1",
        "ip6:",
        "a/032",
        "a/24/64",
        "a//064",
        "a//64/24",
        "mx:example.com/24//129",
    ],
)
def test_rfc7208_5_6_what_is_no_address_or_length_is_permerror(term):
    """ip4, ip6: four numbers up to 255, or eight groups; prefix lengths up to 32 and 128, without leading zeros."""
    assert result(f"+all {term}") == "permerror"


def test_rfc7208_5_7_exists_asks_for_type_a():
    """exists: the lookup is of type A, for an IPv6 client too; any answer matches."""
    assert result("exists:there.example -all", "there.example A 203.0.113.9", client=CLIENT6) == "pass"
    assert result("exists:there.example -all", "there.example AAAA 2001:db8::1", client=CLIENT6) == "fail"


V6 = "2.0.0.1.0.d.b.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1"


@pytest.mark.parametrize("helo", ["", "."])
def test_rfc7208_7_2_the_macro_h_without_helo(helo):
    """%{h} is "unknown", as Postfix writes it, if the client gave no HELO name; this is not an error."""
    assert expansion("%{h}.example", helo=helo) == "unknown.example"
    zone = """
    example.com TXT "v=spf1 include:%{i}._ip.%{h}._ehlo.example -all"
    192.0.2.1._ip.unknown._ehlo.example TXT "v=spf1 +all"
    """
    assert check(zone, client="192.0.2.1", helo=helo).result == "pass"


def expansion(spec, mail_from="Strong-Bad@email.example.com", client="192.0.2.3", helo="mx-1.example.org"):
    """The name that is asked for."""
    zone = f"""
        {mail_from.rpartition("@")[2]} TXT "v=spf1 exists:{spec} -all"
        3.2.0.192.in-addr.arpa PTR x.example
        x.example A 192.0.2.3
    """
    listening = Listening(zone)
    spf.check_mail_from(ip_address(client), mail_from, helo, listening, LIMITS)
    return listening.asked[-1][0]


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d3}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{d1}.x.example", "com.x.example"),
        ("%{d02}", "example.com"),
        ("%{d99999999999999999999}", "email.example.com"),
        ("%{dr}", "com.example.email"),
        ("%{dR}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l}.x.example", "strong-bad.x.example"),
        ("%{l-}.x.example", "strong.bad.x.example"),
        ("%{lr}.x.example", "strong-bad.x.example"),
        ("%{lr-}.x.example", "bad.strong.x.example"),
        ("%{l1r-}.x.example", "strong.x.example"),
        ("%{h}", "mx-1.example.org"),
        ("%{h-}", "mx.1.example.org"),
        ("%{hr-}", "1.example.org.mx"),
        ("%{h2-.}", "example.org"),
        ("%{h1r-.}.x.example", "mx.x.example"),
        ("%{i}.x.example", "192.0.2.3.x.example"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
        ("%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "3.2.0.192.in-addr.strong.lp._spf.example.com"),
        ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
        ("%{p}", "x.example"),
        ("%%%_%-.x.example", "% %20.x.example"),
        ("$&!.%{D}", "$&!.email.example.com"),
        ("%{S}", "strong-bad%40email.example.com"),
        ("%{d}.", "email.example.com"),
    ],
)
def test_rfc7208_7_macros(spec, name):
    """Macros: the letters, their parts from the right, the reversal, the delimiters, which give way to dots, the
    escapes."""
    assert expansion(spec) == name


@pytest.mark.parametrize(
    ("spec", "name"),
    [("%{i}.x.example", f"{V6}.x.example"), ("%{ir}.%{v}.x.example", f"{V6[::-1]}.ip6.x.example")],
)
def test_rfc7208_7_3_an_ipv6_address_is_its_nibbles(spec, name):
    """%{i} of an IPv6 client has dots between its nibbles."""
    assert expansion(spec, client=CLIENT6) == name


@pytest.mark.parametrize(
    ("local_part", "delimiters", "name"),
    [
        ("a-b+c,d/e_f=g", ".-+,/_=", "a.b.c.d.e.f.g"),
        ("a..b", ".", "a..b"),
        ("a-b.c", "-", "a.b.c"),
        ("a-b.c", "1-", "b.c"),
        ("a+b.c", "1r+", "a"),
    ],
)
def test_rfc7208_7_1_delimiters(local_part, delimiters, name):
    """A macro splits at the delimiters that it names and at no other; empty parts count as parts."""
    spec = f"%{{l{delimiters}}}.x.example"
    zone = f"{name}.x.example A 127.0.0.2"
    expected = "fail" if ".." in name else "pass"
    assert result(f"exists:{spec} -all", zone, mail_from=f"{local_part}@example.com") == expected


def test_rfc7208_7_3_an_upper_case_letter_escapes_all_but_unreserved():
    """%{S} is %{s} as in a URL, where letters, digits and -._~ stay."""
    assert expansion("%{S}", mail_from="a-._~z+/=!@example.com") == "a-._~z%2b%2f%3d%21%40example.com"


@pytest.mark.parametrize(("labels", "left"), [(1, 4), (2, 4), (7, 4)])
def test_rfc7208_7_3_a_name_too_long_loses_labels_on_the_left(labels, left):
    """Labels are removed from the left until the name has at most 253 octets."""
    long = ".".join(["abcdefghij" * 6] * (left + labels))
    name = expansion(f"%{{h}}.{'x' * 7}.example", helo=long)
    assert name == ".".join(["abcdefghij" * 6] * 3) + f".{'x' * 7}.example"
    assert len(name) <= 253


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["other.example", "mail.example.com", "example.com"], "example.com"),
        (["other.example", "mail.example.com"], "mail.example.com"),
        (["a.example", "mail.example.com"], "mail.example.com"),
        (["a.example", "a.example.com", "example.com"], "example.com"),
        (["notexample.com", "other.example"], "notexample.com"),
        (["forged.example"], "unknown"),
        ([], "unknown"),
    ],
)
def test_rfc7208_7_2_the_macro_p(names, expected):
    """%{p} is a validated name: the domain, or one below it, or any; else "unknown"."""
    zone = "\n".join(f"1.2.0.192.in-addr.arpa PTR {name}\n{name} A 192.0.2.1" for name in names if "forged" not in name)
    forged = (
        "1.2.0.192.in-addr.arpa PTR forged.example\nforged.example A 203.0.113.1" if "forged.example" in names else ""
    )
    assert result("exists:%{p}.who.example -all", f"{zone}\n{forged}\n{expected}.who.example A 127.0.0.2") == "pass"


@pytest.mark.parametrize("trouble", ["!", "?"])
def test_rfc7208_7_2_the_macro_p_is_unknown_after_a_dns_error(trouble):
    """An error in the lookups for p is not an error of the check."""
    zone = f"1.2.0.192.in-addr.arpa PTR {trouble}\nunknown.who.example A 127.0.0.2"
    assert result("exists:%{p}.who.example -all", zone) == "pass"


@pytest.mark.parametrize(
    "spec",
    ["example", "example.1", "example.c-", "example.-c", "example..", "%{d}/x", "x%{d}x", "a.b_c", "%{d}.1", ".", "x."],
)
def test_rfc7208_7_1_a_domain_spec_ends_in_a_macro_or_toplabel(spec):
    """A domain-spec ends in a macro, or in a label of letters, digits and inner hyphens that is not all digits."""
    assert result(f"+all exists:{spec}") == "permerror"


@pytest.mark.parametrize(
    "spec", ["%{d}", "1%{d}", "a.1-2", "a.c0m.", "a/b.com", "a:b.com", ".com", "%{d}.com", "1.2%-"]
)
def test_rfc7208_7_1_a_domain_spec_may_hold_any_visible_octet(spec):
    """The text before the end of a domain-spec is free."""
    assert result(f"~all exists:{spec}") == "softfail"


@pytest.mark.parametrize(
    "macro", ["%{d0}", "%{d00r}", "%{c}", "%{r}", "%{t}", "%{T}", "%{x}", "%{}", "%{dd}", "%{d*}", "%{dr2}", "%d"]
)
def test_rfc7208_7_1_a_malformed_macro_is_permerror(macro):
    """A macro with zero parts, with a letter that only explanations may have, or in the wrong order is permerror."""
    assert result(f"+all exists:{macro}.example") == "permerror"


def test_rfc7208_6_2_the_explanation_is_not_fetched():
    """exp= is checked as syntax and never fetched: that would only tell the sender who reads."""
    listening = Listening('example.com TXT "v=spf1 -all exp=why.example"\nwhy.example TXT !')
    found = spf.check_mail_from(ip_address(CLIENT), "user@example.com", "", listening, LIMITS)
    assert (found.result, listening.asked) == ("fail", [("example.com", "TXT")])


def test_rfc7208_6_2_no_text_of_the_sender_is_in_the_reply():
    """The reply to a failure is ours alone."""
    zone = 'example.com TXT "v=spf1 -all exp=why.example"\nwhy.example TXT "call 555"'
    verdict = converse(zone, policy=Policy(spf=SpfActions(fail=Action.REJECT))).verdict
    assert str(verdict.reply) == "550 5.7.23 SPF fail for example.com"


REJECT, DEFER = Action.REJECT, Action.DEFER


@pytest.mark.parametrize(
    ("record", "actions", "reply"),
    [
        ('"v=spf1 -all"', SpfActions(fail=REJECT), "550 5.7.23 SPF fail for example.com"),
        ('"v=spf1 -all"', SpfActions(fail=DEFER), "451 4.7.23 SPF fail for example.com"),
        ('"v=spf1 ~all"', SpfActions(softfail=DEFER), "451 4.7.23 SPF softfail for example.com"),
        ("!", SpfActions(temperror=DEFER), "451 4.7.24 SPF temperror for example.com"),
        ('"v=spf1 x"', SpfActions(permerror=REJECT), "550 5.7.24 SPF permerror for example.com"),
    ],
)
def test_rfc7372_3_2_the_codes_of_spf(record, actions, reply):
    """7.23 if SPF failed, 7.24 if it could not be evaluated; 550 or 451, as the policy says."""
    assert str(converse(f"example.com TXT {record}", policy=Policy(spf=actions)).verdict.reply) == reply


@pytest.mark.parametrize(("record", "word"), [("!", "temperror"), ('"v=spf1 x"', "permerror")])
def test_rfc7208_8_6_an_error_never_counts_as_pass(record, word):
    """temperror and permerror authenticate nothing (also section 8.7)."""
    zone = f'author.example TXT {record}\n_dmarc.author.example TXT "v=DMARC1; p=reject"'
    evidence = converse(zone, mail_from="<user@author.example>").evidence
    assert evidence.spf.result == word
    assert evidence.dmarc.result != "pass"


def test_rfc7208_9_1_received_spf_is_not_written():
    """Received-SPF is not written: the one field is Authentication-Results."""
    assert [name for name, _ in converse('example.com TXT "v=spf1 -all"').add] == ["Authentication-Results"]


def test_rfc8616_4_a_u_label_is_asked_for_as_its_a_label():
    """Domains are converted before they are looked up, in MAIL FROM and in HELO."""
    zone = 'xn--bcher-kva.example TXT "v=spf1 exists:%{o}.%{d}.%{h}.who.example -all"\n'
    label = "xn--bcher-kva.example"
    zone += f"{label}.{label}.{label}.who.example A 127.0.0.2"
    found = check(zone, mail_from="user@bücher.example", helo="bücher.example")
    assert (found.result, found.domain) == ("pass", label)
    assert spf.check_mail_from(ip_address(CLIENT), "", "bücher.example", Listening(zone), LIMITS).result == "pass"


@pytest.mark.parametrize("term", ["exists:%{l}.x.example", "exists:%{S}", "include:%{l1r-}.x.example", "a:%{s}/0"])
def test_rfc8616_4_a_local_part_that_is_not_ascii_never_matches(term):
    """A term with %{s} or %{l} does not match if the local-part is not ASCII; this is not an error."""
    listening = Listening(f'example.com TXT "v=spf1 {term} ~all"\n*.x.example A 192.0.2.1')
    assert spf.check_mail_from(ip_address(CLIENT), "bücher@example.com", "", listening, LIMITS).result == "softfail"
    assert listening.asked == [("example.com", "TXT")]


def test_rfc8616_4_a_redirect_made_of_such_a_local_part_is_not_followed():
    """A redirect made of such a local-part leads nowhere."""
    assert result("redirect=%{l}.x.example", mail_from="bücher@example.com") == "neutral"


def test_rfc9989_7_1_a_failure_alone_does_not_reject():
    """By default, mail that fails SPF goes on: DKIM may still pass, and DMARC decides."""
    outcome = converse('example.com TXT "v=spf1 -all"')
    assert (outcome.evidence.spf.result, outcome.verdict.action) == ("fail", "accept")
