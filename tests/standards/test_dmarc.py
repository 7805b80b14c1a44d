"""RFC 9989 section by section, with what changed since RFC 7489, and RFC 7372 and 8601 for what is said about it."""

from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.author import Author
from mailassay.author import Fault as AuthorFault
from mailassay.author import author as author_of
from mailassay.config import Settings
from mailassay.dmarc import Disposition, Identifier, Record, check, questions
from mailassay.dmarc.discovery import walk
from mailassay.domain import Domain
from mailassay.limits import Limits
from mailassay.message import Field, Headers
from mailassay.policy import DmarcActions, Policy
from mailassay.resolver import Deadline, DnsTempError
from mailassay.result import Result
from mailassay.verdict import Action
from mailassay.zone import Zone
from tests.lab.limits import LIMITS
from tests.lab.talk import Talk

NONE, QUARANTINE, REJECT = Disposition
PASS, FAIL, PERMERROR, TEMPERROR = Result.PASS, Result.FAIL, Result.PERMERROR, Result.TEMPERROR
CLIENT = "192.0.2.1"


class Listening:
    """A zone that notes what it is asked, each question once, as the resolver of a message does."""

    def __init__(self, *lines):
        self._budget = Deadline(Zone("\n".join(lines), limits=LIMITS), float("inf"), lambda: 0.0)
        self.asked = {}

    def __call__(self, name, rdtype):
        self.asked[name, rdtype] = None
        return self._budget(name, rdtype)


def at(name, tags="p=reject"):
    """A policy record."""
    return f'_dmarc.{name} TXT "v=DMARC1; {tags}"'


def by(name, method="dkim", result=PASS):
    return Identifier(method, Domain(name), result)


def judge(who, *identifiers, zone=(), **more):
    """What DMARC says of mail from an author, where these were authenticated."""
    return check(Author((Domain(who),)), [by(name) for name in identifiers], Listening(*zone), LIMITS, **more)


def policy(who, *zone):
    """The policy that applies to mail from an author that fails."""
    found = judge(who, zone=zone)
    assert found.result is FAIL
    return found.disposition


def org_domain(name, *zone):
    return walk(Domain(name), Listening(*zone), Limits()).org_domain


def converse(*froms, zone=(), mail_from="<x@example.com>", helo="mail.example.net", rules=Policy()):
    """What becomes of one message."""
    talk = Talk("\n".join(zone), rules, client=CLIENT, helo=helo)
    return talk.send([(b"From", value.encode()) for value in froms], mail_from=mail_from)


def clause(outcome):
    """What our header field says of DMARC."""
    value = next(value for name, value in outcome.add if name == "Authentication-Results")
    return next(each.strip() for each in value.replace("\n", "").split(";") if each.strip().startswith("dmarc="))


SPF = f'example.com TXT "v=spf1 ip4:{CLIENT} -all"'


# --- 3.2, 4.2, 5.3.1, 11.5: the author domain and the authenticated identifiers


@pytest.mark.parametrize(
    ("value", "domain"),
    [(" a@example.com", "example.com"), (" a@EXAMPLE.Com", "example.com"),
     (" a@bücher.example", "xn--bcher-kva.example"), (" a@XN--BCHER-KVA.example", "xn--bcher-kva.example")],
)  # fmt: skip
def test_rfc9989_5_3_1_the_author_domain_is_the_a_label_of_from(value, domain):
    """The author domain is that of From, in lower case and A-labels."""
    assert author_of(Headers([Field(b"From", value.encode())]), LIMITS) == Author((domain,))


@pytest.mark.parametrize(
    "froms",
    [(), (" ",), (" a@[192.0.2.1]",), (" a@example.com", " a@example.com"), (" a@example.com, b@example.net",)],
    ids=["no field", "no address", "no domain", "two fields", "two domains"],
)
def test_rfc9989_5_3_1_no_one_author_domain_no_pass(froms):
    """Without From, without a domain in it, with several fields or several domains, nothing passes."""
    outcome = converse(*froms, zone=[SPF, at("example.com", "p=none")])
    assert clause(outcome).split()[0] in ("dmarc=fail", "dmarc=permerror")


def test_rfc9989_5_3_1_sender_and_resent_from_are_no_authors():
    """Only From names the author; a Sender or Resent-From that would pass helps nobody."""
    fields = [(b"Sender", b" x@example.com"), (b"Resent-From", b" x@example.com"), (b"From", b" a@bank.example")]
    assert author_of(Headers(Field(*field) for field in fields), LIMITS) == Author(("bank.example",))


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        (("p=none", "p=reject"), (FAIL, REJECT)),
        (("p=quarantine", "p=none"), (FAIL, QUARANTINE)),
        (("p=none", None), (FAIL, NONE)),
        ((None, None), (PERMERROR, None)),
        (("p=none; sp=reject", "p=quarantine; t=y"), (FAIL, NONE)),
    ],
)
def test_rfc9989_11_5_several_author_domains_fail_by_the_strictest(policies, expected):
    """Each author domain is looked up, and the strictest policy applies, even if all of them are authenticated."""
    names = ["one.example", "two.example"]
    zone = [at(name, tags) for name, tags in zip(names, policies, strict=True) if tags]
    found = check(
        Author(tuple(map(Domain, names)), AuthorFault.SEVERAL_DOMAINS),
        [by(name) for name in names],
        Listening(*zone),
        LIMITS,
    )
    assert (found.result, found.disposition) == expected


def test_rfc9989_11_5_an_author_whose_dns_is_broken_takes_nothing_off_another():
    """If the policy of a second author domain cannot be fetched, the other's policy stays in force."""
    zone = [at("bank.example", "p=quarantine"), "_dmarc.slow.example TXT ?"]
    found = check(
        Author((Domain("slow.example"), Domain("bank.example")), AuthorFault.SEVERAL_DOMAINS),
        [],
        Listening(*zone),
        LIMITS,
    )
    assert (found.result, found.disposition) == (FAIL, QUARANTINE)


def test_rfc9989_11_5_the_number_of_author_domains_has_a_limit():
    """Eight author domains are looked up, unless the policy says otherwise. If there are more, one is assumed to ask
    for rejection, and nothing is looked up.
    """
    names = ", ".join(f"a@d{number}.example" for number in range(9))
    found = author_of(Headers([Field(b"From", f" {names}".encode())]), LIMITS)
    resolve = Listening()
    judged = check(found, [], resolve, LIMITS)
    assert (judged.result, judged.disposition, resolve.asked) == (FAIL, REJECT, {})


def test_rfc9989_4_4_2_only_mail_from_is_an_spf_identifier():
    """A HELO name that passes SPF is not an identifier if there is a MAIL FROM."""
    zone = [f'mail.bank.example TXT "v=spf1 ip4:{CLIENT} -all"', at("bank.example"), SPF]
    assert clause(converse(" a@bank.example", zone=zone, helo="mail.bank.example")).startswith("dmarc=fail")


def test_rfc9989_3_2_4_of_a_null_reverse_path_it_is_the_helo_name():
    """For a null reverse-path the identity is postmaster at the HELO name (RFC 7208 section 2.4)."""
    zone = [f'mail.bank.example TXT "v=spf1 ip4:{CLIENT} -all"', at("bank.example")]
    outcome = converse(" a@bank.example", zone=zone, helo="mail.bank.example", mail_from="<>")
    assert clause(outcome).startswith("dmarc=pass")


@pytest.mark.parametrize("method", ["spf", "dkim"])
def test_rfc9989_4_4_domains_are_compared_in_lower_case_and_a_labels(method):
    """Names that differ in letter case, or in A-label and U-label, are the same."""
    who = Author((Domain("BÜCHER.Example"),))
    found = check(who, [by("xn--BCHER-kva.eXample", method)], Listening(at("xn--bcher-kva.example", "p=none")), LIMITS)
    assert found.result is PASS


# --- 4.5, 4.7, 4.8: the record


def test_rfc9989_4_5_the_record_is_a_txt_record_at_dmarc_below_the_domain():
    """It is asked for as TXT at _dmarc.<domain>, and nowhere else."""
    resolve = Listening(at("example.com"), 'example.com TXT "v=DMARC1; p=none"')
    assert check(Author((Domain("example.com"),)), [], resolve, LIMITS).disposition is REJECT
    assert list(resolve.asked) == [("_dmarc.example.com", "TXT")]


def test_rfc9989_4_5_character_strings_are_joined_without_space():
    """Several character-strings of one record are one text, joined without space."""
    assert policy("example.com", '_dmarc.example.com TXT "v=DMA" "RC1; p=re" "ject"') is REJECT


@pytest.mark.parametrize(
    "text",
    ["v=DMARC1", "v=DMARC1;", "v=DMARC1; p=reject", "v = DMARC1;p=reject", "v\t=\tDMARC1\t;\tp\t=\treject\t;\t",
     "V=DMARC1; p=reject"],
)  # fmt: skip
def test_rfc9989_4_8_a_record_begins_with_its_version(text):
    """v=DMARC1 comes first, with white space around "=" and ";"; v may be in either case, as ABNF says."""
    assert Record.parse(text) is not None


@pytest.mark.parametrize(
    "text",
    ["", "p=reject", "p=reject; v=DMARC1", "v=DMARC2; p=reject", "v=dmarc1; p=reject", "v=DMARC1 p=reject", "v=DMARC10",
     " v=DMARC1; p=reject", "; v=DMARC1; p=reject", "v=DMARC1x; p=reject", "v=; p=reject", "v; p=reject",
     "v=spf1 -all"],
)  # fmt: skip
def test_rfc9989_4_7_what_begins_with_anything_else_is_no_record(text):
    """Without v= in front, or with another value than DMARC1, case and all, the whole record is ignored."""
    assert Record.parse(text) is None


@pytest.mark.parametrize(
    "tags",
    ["p=reject; unknown=x", "unknown=p=none; p=reject", "p=reject; junk", "p=reject;;", "=; p=reject",
     "p=reject; =none", "p=reject; adkim=q; aspf=; t=maybe; psd=2; fo=9; rua=@; ruf=", "p=reject; np", "P=REJECT",
     "p=reject; p=none", "junk; p=reject"],
)  # fmt: skip
def test_rfc9989_4_8_errors_in_the_rest_are_passed_over(tags):
    """Unknown tags and invalid text are ignored, invalid values have their defaults; of two equal tags the first
    counts.
    """
    assert Record.parse(f"v=DMARC1; {tags}") == Record(REJECT)


@given(
    text=st.text(st.characters(max_codepoint=255), max_size=80), prefix=st.sampled_from(["v=DMARC1;", "v=DMARC1", ""])
)
def test_rfc9989_4_8_no_text_upsets_the_parser(text, prefix):
    """Any text of a TXT record is a DMARC record or not, and each value that is read is one that its tag may have."""
    record = Record.parse(prefix + text)
    assert record is not None or prefix != "v=DMARC1;"
    if record:
        assert (record.p in Disposition, record.psd in ("y", "n", "u")) == (True, True)
        assert all(":" in uri and "," not in uri for uri in (*record.rua, *record.ruf))


VALUES = {
    "p": ["none", "quarantine", "reject", "Reject", "rejct", ""],
    "sp": ["none", "quarantine", "reject", "x"],
    "np": ["none", "quarantine", "reject", "x"],
    "psd": ["y", "n", "u", "x"],
    "t": ["y", "n", "x"],
    "adkim": ["r", "s", "x"],
    "aspf": ["r", "s", "x"],
    "rua": ["mailto:a@b.example", "mailto:a@b.example!10m", "nonsense"],
    "pct": ["0", "100", "x"],
}
TAGS = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in VALUES.items()})


@given(tags=TAGS, order=st.randoms(use_true_random=False))
def test_rfc9989_4_7_the_order_of_tags_means_nothing(tags, order):
    """After v= the tags may be in any order; RFC 7489 required p= to be second."""
    pairs = [f"{name}={value}" for name, value in tags.items()]
    first = Record.parse("; ".join(["v=DMARC1", *pairs]))
    order.shuffle(pairs)
    assert Record.parse(" ; ".join(["v=DMARC1", *pairs, ""])) == first


@pytest.mark.parametrize("tag", ["pct=0", "pct=50", "pct=x", "ri=86400", "rf=afrf", "rf=iodef"])
def test_rfc9989_9_3_pct_rf_and_ri_are_historic(tag):
    """pct=, rf= and ri= of RFC 7489 no longer mean anything, whatever their values."""
    assert Record.parse(f"v=DMARC1; p=reject; {tag}") == Record(REJECT)
    assert policy("example.com", at("example.com", f"p=reject; {tag}")) is REJECT


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("mailto:a@b.example", ["mailto:a@b.example"]),
        ("mailto:a@b.example!10m , https://c.example/x", ["mailto:a@b.example", "https://c.example/x"]),
        ("mailto:a%2Cb@c.example", ["mailto:a%2Cb@c.example"]),
        ("a@b.example,,mailto:c@d.example", ["mailto:c@d.example"]),
        ("mailto:a b@c.example", []),
        ("mailto:ä@b.example", []),
    ],
)
def test_rfc9989_4_8_reporting_uris(value, found):
    """rua= and ruf= are lists of URIs; a size limit of RFC 7489 is cut off, and text that is not a URI is skipped."""
    for tag in ("rua", "ruf"):
        assert list(getattr(Record.parse(f"v=DMARC1; p=none; {tag}={value}"), tag)) == found


@pytest.mark.parametrize(("tags", "fo"), [("fo=1:d", "0"), ("ruf=mailto:a@b.example", "0"),
                                          ("fo=1:d; ruf=mailto:a@b.example", "1:d")])  # fmt: skip
def test_rfc9989_4_7_fo_counts_with_ruf_only(tags, fo):
    """fo= is ignored without ruf=."""
    assert Record.parse(f"v=DMARC1; p=none; {tags}").fo == fo


def test_rfc9989_4_10_several_records_are_none_and_the_walk_goes_on():
    """If a name has several DMARC records, none counts, and the walk goes on; RFC 7489 stopped there. Other TXT
    records do not matter.
    """
    two = [at("a.example.com", "p=none"), at("a.example.com", "p=quarantine")]
    assert policy("a.example.com", *two, at("example.com")) is REJECT
    assert judge("example.com", zone=[at("example.com"), at("example.com", "p=none")]).result is Result.NONE
    assert policy("example.com", '_dmarc.example.com TXT "v=spf1 -all"', '_dmarc.example.com TXT ""', at("example.com"))


@pytest.mark.parametrize("tags", ["p=rejct", "p=", "p=reject; sp=x", "p=reject; np=x"])
def test_rfc9989_4_10_1_an_improper_policy_counts_only_with_a_way_to_report(tags):
    """If p=, sp= or np= is invalid, the record means p=none if it has a valid rua=; otherwise there is no DMARC, which
    is permerror (section 9.2).
    """
    assert policy("example.com", at("example.com", f"{tags}; rua=mailto:a@example.com")) is NONE
    for rua in ("", "; rua=nonsense"):
        found = judge("example.com", "example.com", zone=[at("example.com", tags + rua)])
        assert (found.result, found.disposition) == (PERMERROR, None)


@pytest.mark.parametrize("tags", ["", "sp=reject", "rua=mailto:a@example.com", "np=reject; rua=mailto:a@example.com"])
def test_rfc9989_4_7_without_p_it_is_none(tags):
    """p= may be absent, which means p=none, for subdomains as well (section 4.10.1); in RFC 7489 that was not a
    record.
    """
    assert policy("example.com", at("example.com", tags)) is NONE
    assert policy("a.example.com", at("example.com", tags)) is NONE


# --- 4.7: the choice among p=, sp= and np=, and t=

THERE = "a.example.com A 192.0.2.9"


@pytest.mark.parametrize(
    ("tags", "itself", "there", "absent"),
    [
        ("p=reject", REJECT, REJECT, REJECT),
        ("p=reject; sp=quarantine", REJECT, QUARANTINE, QUARANTINE),
        ("p=reject; np=none", REJECT, REJECT, NONE),
        ("p=none; sp=quarantine; np=reject", NONE, QUARANTINE, REJECT),
        ("p=none; np=reject", NONE, NONE, REJECT),
    ],
)
def test_rfc9989_4_7_subdomains_have_sp_and_those_that_do_not_exist_np(tags, itself, there, absent):
    """p= is for the domain itself; sp=, or else p=, for its subdomains; np=, or else sp=, or else p=, for those that
    do not exist.
    """
    zone = at("example.com", tags)
    assert policy("example.com", zone) is itself
    assert policy("a.example.com", zone, THERE) is there
    assert policy("a.example.com", zone) is absent


@pytest.mark.parametrize(
    "line", [THERE, "a.example.com MX 10 mx.example", "a.example.com -", "b.a.example.com A 192.0.2.1"]
)
def test_rfc9989_3_2_13_only_nxdomain_is_absence(line):
    """A name exists if it has records of any type, even if not of the type asked for, or names below it."""
    assert policy("a.example.com", at("example.com", "p=none; np=reject"), line) is NONE


@pytest.mark.parametrize("above", ["example.com", "com"])
def test_rfc9989_4_7_sp_means_nothing_below_the_organization(above):
    """The sp= of the author domain's own record is not for that domain, and a record between the author and its
    organization is for nobody.
    """
    zone = [at("b.example.com", "p=none; sp=quarantine"), at(above, "p=reject")]
    assert policy("b.example.com", *zone) is NONE
    assert policy("a.b.example.com", *zone) is REJECT


@pytest.mark.parametrize(
    ("tags", "full", "lowered"),
    [("p=reject", REJECT, QUARANTINE), ("p=quarantine", QUARANTINE, NONE), ("p=none", NONE, NONE),
     ("p=none; sp=reject", REJECT, QUARANTINE)],
)  # fmt: skip
def test_rfc9989_4_7_t_lowers_the_policy_one_level(tags, full, lowered):
    """t=y lowers reject to quarantine and quarantine to none; it does not change the result."""
    assert policy("a.example.com", at("example.com", f"{tags}; t=y"), THERE) is lowered
    assert judge("a.example.com", "example.com", zone=[at("example.com", f"{tags}; t=y")]).result is PASS
    assert policy("a.example.com", at("example.com", f"{tags}; t=n"), THERE) is full


# --- 4.10: the walk

WALKED = {
    "com": ["com"],
    "example.com": ["example.com", "com"],
    "1.2.3.4.5.6.7": ["1.2.3.4.5.6.7", "2.3.4.5.6.7", "3.4.5.6.7", "4.5.6.7", "5.6.7", "6.7", "7"],
    "a.b.c.d.e.f.example.com": ["a.b.c.d.e.f.example.com", "b.c.d.e.f.example.com", "c.d.e.f.example.com",
                                "d.e.f.example.com", "e.f.example.com", "f.example.com", "example.com", "com"],
    "a.b.c.d.e.f.g.h.i.j.mail.example.com": ["a.b.c.d.e.f.g.h.i.j.mail.example.com", "g.h.i.j.mail.example.com",
                                             "h.i.j.mail.example.com", "i.j.mail.example.com", "j.mail.example.com",
                                             "mail.example.com", "example.com", "com"],
    "mail.a.b.c.d.e.f.g.example.com": ["mail.a.b.c.d.e.f.g.example.com", "c.d.e.f.g.example.com", "d.e.f.g.example.com",
                                       "e.f.g.example.com", "f.g.example.com", "g.example.com", "example.com", "com"],
}  # fmt: skip


@pytest.mark.parametrize("name", WALKED)
def test_rfc9989_4_10_the_questions_of_a_walk(name):
    """A walk asks for its name, then, from seven labels on, for one label less each time, down to the last one."""
    resolve = Listening()
    check(Author((Domain(name),)), [], resolve, LIMITS)
    assert list(resolve.asked) == [(f"_dmarc.{each}", "TXT") for each in WALKED[name]]


NAMES = st.lists(st.sampled_from(["a", "b", "xn--p1ai", "_c"]), min_size=1, max_size=30).map(".".join)


def asked_by(name):
    """Section 4.10, steps 1 to 7, where no record is found."""
    labels = name.split(".")
    targets = [labels]
    rest = labels[1:] if len(labels) < 8 else labels[-7:]
    while rest:
        targets.append(rest)
        rest = rest[1:]
    return [".".join(target) for target in targets]


@given(name=NAMES)
def test_rfc9989_4_10_never_more_than_eight_questions(name):
    """For any name, the questions are those of the steps in section 4.10, eight at most."""
    assert questions(Domain(name), LIMITS) == [f"_dmarc.{each}" for each in asked_by(name)]
    assert len(questions(Domain(name), LIMITS)) <= 8


@pytest.mark.parametrize("psd", ["y", "n"])
def test_rfc9989_4_10_the_walk_stops_at_psd_y_and_psd_n(psd):
    """A record with psd=y or psd=n ends the walk; names above it are not asked for."""
    resolve = Listening(at("example.com", f"p=none; psd={psd}"), at("com"))
    assert len(walk(Domain("a.b.example.com"), resolve, Limits()).records) == 1
    assert list(resolve.asked) == [
        (f"_dmarc.{each}", "TXT") for each in ("a.b.example.com", "b.example.com", "example.com")
    ]


@pytest.mark.parametrize("psd", ["u", "x", ""])
def test_rfc9989_4_7_psd_is_u_unless_it_is_y_or_n(psd):
    """Any other psd= does not end the walk."""
    assert org_domain("a.b.example.com", at("b.example.com", f"p=none; psd={psd}"), at("example.com")) == "example.com"


# --- 4.10.1: whose policy


def test_rfc9989_4_10_1_the_author_domains_own_record_comes_first():
    """A record at the author domain is the policy, whatever is above it, even psd=n or psd=y."""
    for above in ("", "; psd=n", "; psd=y"):
        assert policy("a.example.com", at("a.example.com", "p=none"), at("example.com", f"p=reject{above}")) is NONE


def test_rfc9989_4_10_1_then_the_organizations_not_a_nearer_one():
    """Else it is the record of the organizational domain; one nearer to the author is not the policy."""
    zone = [at("mail.example.com", "p=none"), at("example.com", "p=reject")]
    found = judge("a.mail.example.com", zone=zone)
    assert (found.disposition, found.found_at) == (REJECT, "example.com")


def test_rfc9989_4_10_1_then_the_public_suffixs():
    """Else it is that of the public suffix domain, its sp= or np=, since the author domain is below it."""
    zone = at("example", "p=none; sp=quarantine; np=reject; psd=y")
    assert policy("bank.example", zone, "bank.example A 192.0.2.9") is QUARANTINE
    assert policy("a.bank.example", zone) is REJECT
    assert policy("example", zone) is NONE
    assert policy("a.bank.example", zone, at("bank.example", "p=none")) is NONE


def test_rfc9989_4_10_1_no_record_no_dmarc():
    """If the walk finds no record, DMARC says nothing about the message: none, and no policy."""
    found = judge("a.example.com", "a.example.com")
    assert (found.result, found.disposition) == (Result.NONE, None)


# --- 4.10.2: the organizational domain


@pytest.mark.parametrize(
    ("name", "lines", "expected"),
    [
        ("a.mail.example.com", [at("mail.example.com"), at("example.com")], "example.com"),
        ("a.mail.example.com", [at("mail.example.com", "p=none; psd=n"), at("example.com")], "mail.example.com"),
        ("a.mail.example.com", [at("com", "p=none; psd=y")], "example.com"),
        ("a.mail.example.com", [at("mail.example.com"), at("com", "p=none; psd=y")], "example.com"),
        ("a.mail.example.com", [at("a.mail.example.com", "p=none; psd=n"), at("example.com")], "a.mail.example.com"),
        ("a.mail.example.com", [], "a.mail.example.com"),
        ("a.mail.example.com", [at("com")], "com"),
        # psd=y where the walk starts is no limit for itself
        ("example.gov", [at("gov", "p=reject; psd=y")], "example.gov"),
        ("gov", [at("gov", "p=reject; psd=y")], "gov"),
        ("mail.example.com", [at("mail.example.com", "p=none; psd=y"), at("example.com")], "mail.example.com"),
        ("a.b.c.d.e.f.g.h.i", [at("d.e.f.g.h.i", "p=none; psd=y")], "c.d.e.f.g.h.i"),
        # a record that the shortened walk passes by (section 5.1.8)
        ("mail.a.b.c.d.e.f.g.example.com", [at("b.c.d.e.f.g.example.com", "p=none; psd=n"), at("example.com")],
         "example.com"),
    ],
)  # fmt: skip
def test_rfc9989_4_10_2_the_organizational_domain(name, lines, expected):
    """Of the names with a record it is the one with psd=n; else the one below psd=y, unless the walk started there;
    else the shortest; without any it is the name itself. RFC 7489 took it from a list of public suffixes."""
    assert org_domain(name, *lines) == expected


# --- 4.4, 5.3.4, 5.3.5: alignment


@pytest.mark.parametrize("method", ["spf", "dkim"])
@pytest.mark.parametrize(
    ("identifier", "relaxed", "strict"),
    [("foo.example.com", PASS, FAIL), ("news.example.com", PASS, PASS), ("foo.example.net", FAIL, FAIL),
     ("example.com", PASS, FAIL), ("x.news.example.com", PASS, FAIL), ("evilexample.com", FAIL, FAIL),
     ("com", FAIL, FAIL)],
)  # fmt: skip
def test_rfc9989_4_4_relaxed_and_strict_alignment(method, identifier, relaxed, strict):
    """Relaxed: both have the same organizational domain. Strict, by aspf=s and adkim=s: they are the same name."""
    for mode, expected in (("", relaxed), ("; adkim=s; aspf=s", strict)):
        zone = Listening(at("news.example.com", "p=none" + mode), at("example.com", "p=none" + mode))
        found = check(Author((Domain("news.example.com"),)), [by(identifier, method)], zone, LIMITS)
        assert found.result is expected


@pytest.mark.parametrize(("tag", "strict"), [("aspf=s", "spf"), ("adkim=s", "dkim")])
def test_rfc9989_4_7_each_method_has_a_mode_of_its_own(tag, strict):
    """aspf= is for SPF, adkim= for DKIM."""
    for method in ("spf", "dkim"):
        zone = Listening(at("example.com", f"p=none; {tag}"))
        found = check(Author((Domain("example.com"),)), [by("a.example.com", method)], zone, LIMITS)
        assert found.result is (FAIL if method == strict else PASS)


def test_rfc9989_4_10_2_a_psd_n_below_parts_an_organization():
    """A name with psd=n is its own organization, and aligns with none above it."""
    zone = [at("example.com"), at("dept.example.com", "p=none; psd=n")]
    assert judge("example.com", "dept.example.com", zone=zone).result is FAIL
    assert judge("a.dept.example.com", "example.com", zone=zone).result is FAIL
    assert judge("a.dept.example.com", "b.dept.example.com", zone=zone).result is PASS


def test_rfc9989_4_10_2_nothing_is_asked_that_is_not_needed():
    """There is no walk if the two are the same, if alignment is strict, or if there is no policy."""
    for tags, identifier in (
        ("p=none", "example.com"),
        ("p=none; adkim=s", "a.example.com"),
        ("p=none", "b.example.net"),
    ):
        resolve = Listening(at("example.com", tags))
        check(Author((Domain("example.com"),)), [by(identifier)], resolve, LIMITS)
        assert list(resolve.asked) == [("_dmarc.example.com", "TXT")]
    resolve = Listening()
    check(Author((Domain("example.com"),)), [by("a.example.com")], resolve, LIMITS)
    assert list(resolve.asked) == [("_dmarc.example.com", "TXT"), ("_dmarc.com", "TXT")]


@pytest.mark.parametrize("result", [each for each in Result if each is not PASS])
def test_rfc9989_5_3_5_one_aligned_identifier_is_enough_and_only_a_pass_is_one(result):
    """The message passes if one of any number aligns; SPF or DKIM that did not pass authenticates nothing."""
    who, zone = Author((Domain("example.com"),)), [at("example.com")]
    others = [by("evil.example", "spf"), by("example.com", "spf", result), by("a.example.com", "dkim", result)]
    assert check(who, others, Listening(*zone), LIMITS).result is not PASS
    found = check(who, [*others, by("example.com")], Listening(*zone), LIMITS)
    assert (found.result, found.aligned) == (PASS, (by("example.com"),))


# --- 5.3.6: DNS errors


@pytest.mark.parametrize("trouble", ["!", "?"])
@pytest.mark.parametrize("name", ["a.example.com", "example.com", "com"])
def test_rfc9989_5_3_6_without_an_answer_neither_pass_nor_fail(name, trouble):
    """If a question for the policy has no answer, the result is temperror, and no policy applies."""
    found = judge("a.example.com", "b.example.com", zone=[f"_dmarc.{name} TXT {trouble}"])
    assert (found.result, found.disposition) == (TEMPERROR, None)


def test_rfc9989_5_3_6_what_spf_or_dkim_cannot_say_now_is_no_fail():
    """A temperror of an identifier that would align makes the result temperror, unless another one aligns. A temperror
    of an identifier that would not align changes nothing.
    """
    who, zone = Author((Domain("example.com"),)), [at("example.com")]
    unknown = by("a.example.com", "spf", TEMPERROR)
    assert check(who, [unknown], Listening(*zone), LIMITS).result is TEMPERROR
    assert check(who, [unknown, by("b.example.com")], Listening(*zone), LIMITS).result is PASS
    assert check(who, [by("a.example.net", "spf", TEMPERROR)], Listening(*zone), LIMITS).result is FAIL


def test_rfc9989_5_3_6_strangers_with_broken_dns_excuse_nothing():
    """It does not matter whether other people's names can be resolved, not even a neighbour's below a registry."""
    zone = [at("example.com"), "_dmarc.evil.com TXT !", "_dmarc.evil.example TXT ?"]
    for listed in (True, False):
        assert judge("example.com", "evil.com", "evil.example", zone=zone, public_suffixes=listed).result is FAIL
    zone = [at("co.uk"), at("a.co.uk"), "_dmarc.evil.co.uk TXT ?"]
    assert judge("a.co.uk", "evil.co.uk", zone=zone).result is FAIL


BANK = [
    at("bank.example", "p=reject; np=reject"),
    'bank.example TXT "v=spf1 include:_spf.bank.example -all"',
    '_spf.bank.example TXT "v=spf1 -all"',
]
EVIL = [
    f'{name}.evil.test TXT "v=spf1 {" ".join(f"mx:{name}{at}.evil.test" for at in range(10))} -all"' for name in "hm"
]
EVIL += [
    f"{name}{at}.evil.test MX 10 x{host}.{name}{at}.evil.test"
    for name in "hm"
    for at in range(10)
    for host in range(10)
]
EVIL += [f"{line.split()[3]} A 203.0.113.9" for line in EVIL if " MX " in line]


class Slow:
    """A zone in which some names take two seconds each, and where ``end`` comes there are no answers any more."""

    def __init__(self, lines, slow):
        self._zone, self._slow, self.time, self.end = Zone("\n".join(lines), limits=LIMITS), slow, 0.0, float("inf")

    def __call__(self, question):
        if question.name.endswith(self._slow):
            self.time += 2.0
        if self.time < self.end:
            return self._zone(question)
        late = Future()
        late.set_exception(DnsTempError("late"))
        return late


@pytest.mark.parametrize("client_names", [0, 10])
@pytest.mark.parametrize(
    ("who", "mail_from", "slow"),
    [("bank.example", "<x@bank.example>", "evil.test"), ("x.bank.example", "<x@x.bank.example>", "evil.test"),
     ("x.bank.example", "<x@m.evil.test>", "nowhere.test")],
)  # fmt: skip
def test_rfc9989_5_3_6_what_the_sender_makes_slow_or_long_excuses_nothing(who, mail_from, slow, client_names):
    """Questions that decide about the author domain are asked before those that the sender can make slow or numerous:
    the HELO name, the name of the client's address, and keys. So a sender cannot cause a temperror.
    """
    names = [f"1.2.0.192.in-addr.arpa PTR p{number}.evil.test" for number in range(client_names)]
    source = Slow([*BANK, *EVIL, *names], slow)
    settings = Settings(message_timeout=20)
    clock = {"now": 0.0, "monotonic": lambda: source.time}
    conversation = Talk(source, settings=settings, client=CLIENT, helo="h.evil.test", **clock).session
    conversation.mail_from(mail_from)
    conversation.header(b"From", f" ceo@{who}".encode())
    for number in range(1, 51):
        tags = f" i={number}; a=rsa-sha256; c=relaxed/relaxed; s=a; h=from; bh=eA==; b=eA==; d="
        conversation.header(b"ARC-Message-Signature", f"{tags}m{number}.evil.test".encode())
        seal = f" i={number}; a=rsa-sha256; cv={'pass' if number > 1 else 'none'}; s=a; b=eA==; d=s{number}.evil.test"
        conversation.header(b"ARC-Seal", seal.encode())
        conversation.header(b"ARC-Authentication-Results", f" i={number}; mx.evil.test; none".encode())
    conversation.end_of_headers()
    source.end = source.time + settings.message_timeout
    assert clause(conversation.end_of_message()) == f"dmarc=fail header.from={who} policy.dmarc=reject"


@pytest.mark.parametrize(("line", "action"), [(Action.ACCEPT, Action.ACCEPT), (Action.DEFER, Action.DEFER)])
def test_rfc9989_4_10_1_dns_errors_accept_or_defer_as_the_operator_says(line, action):
    """temperror is deferred (a 4xy reply, section 7.2) if a record that was found asks for more than none; otherwise
    the message is accepted.
    """
    rules = Policy(dmarc=DmarcActions(temperror=line))
    unknown = converse(" a@example.com", zone=["_dmarc.example.com TXT !"], rules=rules)
    assert unknown.verdict.action is Action.ACCEPT
    zone = ["_dmarc.x.example.com TXT !", '_dmarc.example.com TXT "v=DMARC1; p=reject"']
    outcome = converse(" a@x.example.com", zone=zone, rules=rules)
    assert outcome.verdict.action is action
    assert action is Action.ACCEPT or outcome.verdict.reply.code == 451


# --- 5.4, 7, 8: what becomes of the message


@pytest.mark.parametrize(
    ("tags", "line"),
    [("p=reject", "reject"), ("p=quarantine", "quarantine"), ("p=reject; t=y", "quarantine")],
)
@pytest.mark.parametrize("action", [Action.ACCEPT, Action.TAG, Action.HOLD, Action.REJECT])
def test_rfc9989_5_4_the_final_handling_is_the_operators(tags, line, action):
    """p=reject and p=quarantine each have a setting in the policy; rejection is never built in."""
    rules = Policy(dmarc=DmarcActions(**{"reject": Action.ACCEPT, "quarantine": Action.ACCEPT, line: action}))
    assert converse(" a@example.com", zone=[at("example.com", tags)], rules=rules).verdict.action is action


def test_rfc9989_7_4_to_hold_what_asks_for_rejection_is_one_line():
    """A receiver must not reject for p=reject alone: with ``reject: hold`` such mail is quarantined. The shipped
    policy rejects, as the operator's choice, and says so beside the setting.
    """
    held = Policy(dmarc=DmarcActions(reject=Action.HOLD))
    assert converse(" a@example.com", zone=[at("example.com")], rules=held).verdict.action is Action.HOLD
    assert converse(" a@example.com", zone=[at("example.com")]).verdict.action is Action.REJECT


def test_rfc9989_5_4_p_none_changes_nothing():
    """A failure under p=none is delivered as if there were no DMARC."""
    severest = DmarcActions(reject=Action.REJECT, quarantine=Action.REJECT, temperror=Action.DEFER)
    outcome = converse(" a@example.com", zone=[at("example.com", "p=none")], rules=Policy(dmarc=severest))
    assert outcome.verdict.action is Action.ACCEPT
    assert clause(outcome) == "dmarc=fail header.from=example.com policy.dmarc=none"


def test_rfc9989_7_1_spf_alone_rejects_nothing_that_dkim_may_save():
    """An SPF fail is not answered before the end of the message, and by the shipped policy not at all."""
    zone = ['example.com TXT "v=spf1 -all"', at("example.com", "p=none")]
    assert converse(" a@example.com", zone=zone).verdict.action is Action.ACCEPT


def test_rfc9989_7_2_a_rejection_is_a_reply_that_says_dmarc():
    """550 5.7.1 with the domain in it, during the SMTP session."""
    reply = converse(" a@example.com", zone=[at("example.com")], mail_from="<x@example.net>").verdict.reply
    assert str(reply) == "550 5.7.1 Email rejected per DMARC policy for example.com"


def test_rfc7372_3_3_more_than_one_failure_is_5_7_26():
    """If SPF failed as well as DMARC, the code is that of several failures."""
    zone = ['example.com TXT "v=spf1 -all"', at("example.com")]
    assert converse(" a@example.com", zone=zone).verdict.reply.enhanced == "5.7.26"


# --- 9.1, 9.2: the header field


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ([SPF, at("example.com")], "dmarc=pass header.from=example.com policy.dmarc=reject"),
        ([at("example.com", "p=quarantine")], "dmarc=fail header.from=example.com policy.dmarc=quarantine"),
        ([at("example.com", "p=reject; t=y")], "dmarc=fail header.from=example.com policy.dmarc=quarantine"),
        ([SPF], "dmarc=none header.from=example.com"),
        (["_dmarc.example.com TXT !"], "dmarc=temperror"),
        ([SPF, at("example.com", "p=x")], "dmarc=permerror"),
    ],
)
def test_rfc9989_9_2_results_and_their_properties(zone, expected):
    """pass, fail, none, temperror and permerror; header.from is the author domain, policy.dmarc the policy that applied
    after t=y, sp= and np=, none, quarantine or reject."""
    found = clause(converse(" a@example.com", zone=zone))
    assert found.startswith(expected)
    assert "header.from=example.com" in found
    assert ("policy.dmarc=" in found) == (found.split()[0] in ("dmarc=pass", "dmarc=fail"))


# --- 11.8, 5.2: names that somebody else may register below

SHARED = at("co.uk", "p=reject")  # a registry that forgot psd=y


def test_rfc9989_11_8_a_record_without_psd_y_at_a_public_suffix():
    """By the walk alone, all names below a registry that publishes a record without psd=y are one organization. The
    Public Suffix List keeps them apart, which is logged, unless the policy turns it off."""
    found = judge("a.co.uk", "evil.co.uk", zone=[SHARED])
    assert (found.result, found.public_suffix, found.org_domain) == (FAIL, "co.uk", "co.uk")
    assert judge("a.co.uk", "evil.co.uk", zone=[SHARED], public_suffixes=False).result is PASS
    assert judge("a.co.uk", "x.a.co.uk", zone=[SHARED]).result is PASS


def test_rfc9989_11_8_psd_n_at_the_organization_protects_it():
    """With psd=n a domain is its own organization, whatever the registry publishes."""
    zone = [SHARED, at("a.co.uk", "p=reject; psd=n")]
    for listed in (True, False):
        assert judge("a.co.uk", "evil.co.uk", zone=zone, public_suffixes=listed).result is FAIL
        assert judge("a.co.uk", "x.a.co.uk", zone=zone, public_suffixes=listed).result is PASS


def test_rfc9989_4_7_psd_n_overrules_the_list():
    """psd=n says that the domain is not a public suffix: its owner says so, and the list may be old. It says nothing
    about suffixes below it.
    """
    assert judge("a.co.uk", "b.co.uk", zone=[at("co.uk", "p=reject; psd=n")]).result is PASS
    assert judge("a.co.uk", "b.co.uk", zone=[at("uk", "p=reject; psd=n")]).result is FAIL


def test_rfc9989_5_2_psd_y_parts_what_is_registered_below():
    """A public suffix with psd=y is nobody's organization, listed or not."""
    zone = [at("example.com", "p=reject; psd=y")]
    assert judge("a.example.com", "b.example.com", zone=zone).result is FAIL
    assert judge("x.a.example.com", "y.a.example.com", zone=zone).result is PASS


def test_rfc6376_6_1_1_a_public_suffix_signs_for_nobody_else():
    """A signature of a public suffix aligns with no name below it."""
    assert judge("a.co.uk", "co.uk", zone=[SHARED]).result is FAIL
    assert judge("a.co.uk", "uk", zone=[at("uk", "p=reject")]).result is FAIL
    assert judge("co.uk", "co.uk", zone=[SHARED]).result is PASS


# --- the whole, against the text of the RFC


def single(zone, name):
    """The tags of the one record at a name; two that are the same are one in DNS (RFC 2181 section 5)."""
    first, *others = zone.get(name, [None])
    return first if all(other == first for other in others) else None


def collected(start, zone):
    """Section 4.10."""
    found = []
    for name in asked_by(start):
        tags = single(zone, name)
        if tags is not None:
            found.append((name, tags))
            if tags.get("psd") in ("y", "n"):
                break
    return found


def organization(start, zone):
    """Section 4.10.2."""
    found = collected(start, zone)
    for name, tags in found:
        if tags.get("psd") == "n":
            return name
        if tags.get("psd") == "y" and name != start:
            return ".".join(start.split(".")[-len(name.split(".")) - 1 :])
    return min((name for name, _ in found), key=len, default=start)


def asked_for(tags, which):
    """Sections 4.7 and 4.10.1: the first of these tags that is there; None where there is no DMARC."""
    words = ("none", "quarantine", "reject")
    if any(tags.get(tag, "none").lower() not in words for tag in ("p", "sp", "np")):
        return "none" if tags.get("rua", "nonsense") != "nonsense" else None
    if "p" not in tags:
        return "none"
    asked = next(tags[tag].lower() for tag in which if tag in tags)
    if tags.get("t") == "y":
        return {"reject": "quarantine", "quarantine": "none", "none": "none"}[asked]
    return asked


def plainly(who, identifiers, zone, exists):
    """Sections 4.10.1 and 5.3: the result and the policy."""
    org = organization(who, zone)
    suffix = next((name for name, tags in collected(who, zone) if tags.get("psd") == "y"), None)
    place = next((name for name in (who, org, suffix) if name and single(zone, name) is not None), None)
    if place is None:
        return "none", None
    tags = single(zone, place)
    asked = asked_for(tags, ["p"] if place == who else ["sp", "p"] if exists else ["np", "sp", "p"])
    if asked is None:
        return "permerror", None
    for method, name in identifiers:
        strict = tags.get("adkim" if method == "dkim" else "aspf") == "s"
        if name == who or (not strict and organization(name, zone) == org):
            return "pass", asked
    return "fail", asked


RECORDS = st.lists(TAGS, min_size=1, max_size=4).map(lambda all_tags: all_tags[: 2 if len(all_tags) > 3 else 1])
SMALL = st.lists(st.sampled_from(["a", "b"]), max_size=8).map(lambda labels: ".".join([*labels, "example", "test"]))
ABOVE = st.sampled_from(["test", "example.test", "a.example.test", "b.a.example.test", "b.example.test"])


@given(
    who=SMALL,
    identifiers=st.lists(st.tuples(st.sampled_from(["spf", "dkim"]), st.one_of(SMALL, ABOVE)), max_size=3),
    zone=st.dictionaries(st.one_of(ABOVE, SMALL), RECORDS, max_size=4),
    hosts=st.lists(SMALL, max_size=2),
)
def test_rfc9989_5_3_any_zone_is_judged_as_the_text_says(who, identifiers, zone, hosts):
    """For any small zone, the result and the policy are those of a plain reading of the RFC; the suffix list can only
    take a pass away.
    """
    lines = [
        at(name, "; ".join(f"{tag}={value}" for tag, value in tags.items())) for name in zone for tags in zone[name]
    ]
    owners = [*hosts, *zone]
    exists = any(owner == who or owner.endswith("." + who) for owner in owners)
    resolve = Listening(*lines, *(f"{host} A 192.0.2.9" for host in hosts))
    author = Author((Domain(who),))
    deciding = [by(name, method) for method, name in identifiers]
    found = check(author, deciding, resolve, public_suffixes=False, limits=LIMITS)
    assert (found.result, found.disposition) == plainly(who, identifiers, zone, exists)
    stricter = check(author, deciding, resolve, LIMITS)
    assert stricter.disposition == found.disposition
    assert stricter.result == found.result or (found.result, stricter.result) == (PASS, FAIL)
