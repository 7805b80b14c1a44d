"""From evidence to verdict."""

from dataclasses import replace
from ipaddress import ip_address, ip_network
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailassay.arc import Arc
from mailassay.author import Author
from mailassay.author import Fault as AuthorFault
from mailassay.dkim import Dkim
from mailassay.dmarc import AuthorPolicy as Found
from mailassay.dmarc import Disposition, Dmarc
from mailassay.dmarc import check as dmarc_check
from mailassay.domain import Domain
from mailassay.evidence import Case, Connection, Evidence, Transaction, Trouble
from mailassay.iprev import Iprev
from mailassay.policy import AuthorActions, DmarcActions, IprevActions, Mode, Policy, Rule, SpfActions
from mailassay.policy.condition import All, AnyOf, Match, Not, never_holds
from mailassay.policy.sections import SenderDomainActions
from mailassay.policy.sets import Addresses, Domains, Networks
from mailassay.result import Result
from mailassay.sender_domain import Receives, SenderDomain
from mailassay.spf import Spf
from mailassay.verdict import Action, Decider, Kind
from tests.lab.limits import LIMITS

AUTHOR = Domain("bank.example")


def dmarc(result, policy=None):
    return Dmarc(
        result=result,
        header_from=AUTHOR,
        disposition=policy,
        tag="p" if policy else "",
        found_at=AUTHOR if policy else None,
        org_domain=AUTHOR,
        aligned=(),
        testing=False,
        reason="",
    )


def evidence(
    dmarc_result=Result.NONE,
    disposition=None,
    spf="none",
    iprev="pass",
    dkim=(),
    domain="sender.example",
    at_stake=Disposition.NONE,
):
    return Evidence(
        iprev=Iprev(Result(iprev), ip_address("192.0.2.1")),
        spf_helo=Spf(Result.NONE, "helo", "mx.example"),
        spf_mail_from=Spf(Result(spf), "mailfrom", domain),
        dkim=tuple(Dkim(Result(word)) for word in dkim),
        arc=Arc(Result.NONE),
        dmarc=replace(dmarc(dmarc_result, disposition), at_stake=at_stake),
    )


def decide(
    policy,
    found,
    client="192.0.2.1",
    helo="mx.example",
    recipients=(),
    sample=0,
    now=0.0,
    mail_from="a@sender.example",
    trouble=None,
):
    connection = Connection(ip_address(client), helo)
    transaction = Transaction(mail_from, recipients=tuple(recipients))
    case = Case(connection=connection, transaction=transaction, evidence=found, now=now, sample=sample, trouble=trouble)
    return policy.decide(case)


REJECT, QUARANTINE, NONE = Disposition.REJECT, Disposition.QUARANTINE, Disposition.NONE
STANDARD = Policy()
STRICT_SPF = Policy(spf=SpfActions(fail=Action.REJECT, permerror=Action.REJECT, temperror=Action.HOLD))
OWN_NONE = Policy(dmarc=DmarcActions(none=Action.HOLD, quarantine=Action.TAG))
STRICT_IPREV = Policy(iprev=IprevActions(fail=Action.DEFER, permerror=Action.REJECT))


@pytest.mark.parametrize(
    ("policy", "found", "action", "rule", "code"),
    [
        (STANDARD, evidence(), "accept", "default", None),
        (STANDARD, evidence(Result.PASS, REJECT, "pass"), "accept", "default", None),
        (STANDARD, evidence(Result.FAIL, NONE, "fail"), "accept", "default", None),
        (STANDARD, evidence(Result.FAIL, REJECT), "reject", "dmarc.reject", "550 5.7.1"),
        (STANDARD, evidence(Result.FAIL, REJECT, "softfail"), "reject", "dmarc.reject", "550 5.7.1"),
        (STANDARD, evidence(Result.FAIL, REJECT, "fail"), "reject", "dmarc.reject", "550 5.7.26"),
        (STANDARD, evidence(Result.FAIL, REJECT, dkim=["fail"]), "reject", "dmarc.reject", "550 5.7.26"),
        (STANDARD, evidence(Result.FAIL, REJECT, dkim=["fail", "pass"]), "reject", "dmarc.reject", "550 5.7.1"),
        (STANDARD, evidence(Result.FAIL, QUARANTINE, "fail"), "hold", "dmarc.quarantine", None),
        (STANDARD, evidence(Result.TEMPERROR), "accept", "default", None),
        (STANDARD, evidence(Result.PERMERROR), "accept", "default", None),
        (STANDARD, evidence(Result.TEMPERROR, at_stake=REJECT), "defer", "dmarc.temperror", "451 4.7.1"),
        (STANDARD, evidence(Result.TEMPERROR, at_stake=QUARANTINE), "defer", "dmarc.temperror", "451 4.7.1"),
        (
            Policy(dmarc=DmarcActions(temperror=Action.ACCEPT)),
            evidence(Result.TEMPERROR, at_stake=REJECT),
            "accept",
            "default",
            None,
        ),
        (Policy(dmarc=DmarcActions(reject=Action.TAG)), evidence(Result.FAIL, REJECT), "tag", "dmarc.reject", None),
        (OWN_NONE, evidence(Result.FAIL, NONE, "fail"), "hold", "dmarc.none", None),
        (OWN_NONE, evidence(Result.FAIL, QUARANTINE), "tag", "dmarc.quarantine", None),
        (OWN_NONE, evidence(Result.PASS, NONE), "accept", "default", None),
        (OWN_NONE, evidence(), "accept", "default", None),
        # it may fail later, and that line asks for more than p=none does
        (OWN_NONE, evidence(Result.TEMPERROR), "defer", "dmarc.temperror", "451 4.7.1"),
        (STRICT_SPF, evidence(spf="fail"), "reject", "spf.fail", "550 5.7.23"),
        (STRICT_SPF, evidence(spf="permerror"), "reject", "spf.permerror", "550 5.7.24"),
        (STRICT_SPF, evidence(spf="temperror"), "hold", "spf.temperror", None),
        (STRICT_SPF, evidence(spf="softfail"), "accept", "default", None),
        (STRICT_SPF, evidence(Result.FAIL, QUARANTINE, "fail"), "reject", "spf.fail", "550 5.7.26"),
        (STRICT_IPREV, evidence(iprev="fail"), "defer", "iprev.fail", "451 4.7.25"),
        (STRICT_IPREV, evidence(iprev="permerror"), "reject", "iprev.permerror", "550 5.7.25"),
        (STRICT_IPREV, evidence(Result.FAIL, REJECT, iprev="fail"), "reject", "dmarc.reject", "550 5.7.26"),
    ],
)
def test_decide(policy, found, action, rule, code):
    verdict = decide(policy, found)
    assert (verdict.action, verdict.rule, verdict.would) == (action, rule, action)
    assert str(verdict.reply).startswith(code + " ") if code else verdict.reply is None, verdict.reply


OWN = Policy(
    dmarc=DmarcActions(authors=(AuthorActions(authors=Domains((".bank.example",)), unpublished=Action.REJECT),))
)


def own(result=Result.NONE, author="bank.example", dkim=(), **given):
    made = evidence(result, **given)
    domain = Domain(author)
    keys = tuple(Dkim(Result(word), domain=Domain(name)) for name, word in dkim)
    return replace(made, dmarc=replace(made.dmarc, header_from=domain), authors=(domain,), dkim=keys)


@pytest.mark.parametrize(
    ("found", "action"),
    [
        (own(), "reject"),
        (own(Result.PERMERROR), "reject"),
        (own(author="shop.bank.example"), "reject"),
        (own(author="bank2.example"), "accept"),
        (own(spf="pass"), "reject"),
        (own(spf="pass", domain="bank.example"), "accept"),
        (own(spf="softfail", domain="bank.example"), "reject"),
        (own(author="shop.bank.example", spf="pass", domain="mail.bank.example"), "accept"),
        (own(spf="pass", domain="xbank.example"), "reject"),
        (own(spf="pass", domain="-"), "reject"),
        (own(dkim=[("bank.example", "pass")]), "accept"),
        (own(dkim=[("a.bank.example", "fail"), ("b.bank.example", "pass")]), "accept"),
        (own(dkim=[("example", "pass")]), "reject"),
        # it may pass later
        (own(dkim=[("bank.example", "temperror")]), "defer"),
        (own(spf="temperror", domain="bank.example"), "defer"),
        (own(spf="temperror"), "reject"),
        (own(Result.TEMPERROR), "defer"),
        (own(Result.PASS), "accept"),
    ],
)
def test_authors_that_publish_nothing(found, action):
    verdict = decide(OWN, found)
    assert verdict.action == action
    assert (
        verdict.rule
        == {
            "reject": "dmarc.authors.unpublished",
            "defer": "dmarc.temperror",
            "accept": "default",
        }[action]
    )
    if action == "reject":
        assert verdict.reply.text.startswith("Email rejected per local policy for ")


def test_only_the_author_itself_passes_where_the_name_covers_none_below_it():
    policy = Policy(
        dmarc=DmarcActions(authors=(AuthorActions(authors=Domains(("bank.example",)), unpublished=Action.REJECT),))
    )
    assert decide(policy, own(dkim=[("mail.bank.example", "pass")])).action == "reject"
    assert decide(policy, own(dkim=[("bank.example", "pass")])).action == "accept"


@pytest.mark.parametrize("flaws", [("testing",), ("partial",), ("testing", "partial")])
def test_a_signature_that_proves_too_little_authenticates_nobody(flaws):
    """RFC 6376: a key in testing (section 3.6.1), octets of the body that are not signed (section 8.2)."""
    found = own(dkim=[("bank.example", "pass")])
    flawed = replace(found, dkim=(replace(found.dkim[0], **dict.fromkeys(flaws, True)),))
    assert [decide(OWN, each).action for each in (found, flawed)] == ["accept", "reject"]


def test_one_reading_that_publishes_nothing_is_enough():
    """An author who is not one clear domain passes nowhere, whatever is authenticated."""
    other, bank = Domain("b.example"), Domain("bank.example")
    readings = (Dmarc(Result.FAIL, other, NONE, "p"), Dmarc(Result.NONE, bank))
    found = replace(
        own(dkim=[("bank.example", "pass")]),
        authors=(other, bank),
        dmarc=Dmarc(Result.FAIL, other, NONE, "p", ambiguous=True, readings=readings),
    )
    assert decide(OWN, found).rule == "dmarc.authors.unpublished"


def test_monitor_records_and_accepts():
    verdict = decide(Policy(mode=Mode.MONITOR), evidence(Result.FAIL, REJECT))
    assert (verdict.action, verdict.would, verdict.rule) == ("accept", "reject", "dmarc.reject")


def test_the_reply_names_the_author_domain():
    reply = decide(STANDARD, evidence(Result.FAIL, REJECT)).reply
    assert str(reply) == "550 5.7.1 Email rejected per DMARC policy for bank.example"


def test_the_reply_repeats_nothing_else_of_the_sender():
    reply = decide(STRICT_SPF, evidence(spf="fail", domain="evil\r\n250 ok")).reply
    assert str(reply) == "550 5.7.23 SPF fail"


@pytest.mark.parametrize(
    ("policy", "found", "reason", "reply"),
    [
        (
            STANDARD,
            evidence(Result.FAIL, REJECT),
            "DMARC fail for bank.example, whose policy is reject",
            "550 5.7.1 Email rejected per DMARC policy for bank.example",
        ),
        (STANDARD, evidence(Result.FAIL, QUARANTINE), "DMARC fail for bank.example, whose policy is quarantine", None),
        (OWN_NONE, evidence(Result.FAIL, NONE), "DMARC fail for bank.example, whose policy is none", None),
        *(
            (
                STANDARD,
                replace(found, dmarc=replace(found.dmarc, header_from=author)),
                f"DMARC for {name} cannot be decided now",
                f"451 4.7.1 DMARC for {name} cannot be decided now",
            )
            for found in (evidence(Result.TEMPERROR, at_stake=REJECT),)
            for author, name in ((AUTHOR, "bank.example"), (None, "the author domain"))
        ),
        (
            OWN,
            own(),
            "bank.example publishes no DMARC policy, and neither SPF nor DKIM passes for it",
            "550 5.7.1 Email rejected per local policy for bank.example",
        ),
        (
            Policy(dmarc=replace(OWN.dmarc, reject=Action.ACCEPT, quarantine=Action.ACCEPT)),
            replace(own(), authors=None),
            "the author domain publishes no DMARC policy, and neither SPF nor DKIM passes for it",
            "550 5.7.1 Email rejected per local policy for the author domain",
        ),
        (
            OWN,
            own(dkim=[("bank.example", "temperror")]),
            "Whether SPF or DKIM passes for bank.example cannot be decided now",
            "451 4.7.1 Whether SPF or DKIM passes for bank.example cannot be decided now",
        ),
        (
            STRICT_SPF,
            evidence(spf="fail"),
            "SPF fail for sender.example",
            "550 5.7.23 SPF fail for sender.example",
        ),
        (STRICT_SPF, evidence(spf="temperror"), "SPF temperror for sender.example", None),
        (
            STRICT_IPREV,
            evidence(iprev="permerror"),
            "Reverse DNS permerror for 192.0.2.1",
            "550 5.7.25 Reverse DNS permerror for 192.0.2.1",
        ),
        (
            Policy(dmarc=DmarcActions(ambiguous_author=Action.REJECT)),
            replace(evidence(), dmarc=replace(dmarc(Result.PERMERROR), ambiguous=True)),
            "The author of the message is not one clear domain",
            "550 5.7.1 The author of the message is not one clear domain",
        ),
        *(
            (
                Policy(
                    sender_domain=SenderDomainActions(
                        null_mx=Action.REJECT, no_mail=Action.REJECT, temperror=Action.DEFER
                    )
                ),
                replace(evidence(), sender_domain=SenderDomain(word, "sender.example")),
                f"{words} for sender.example",
                f"{code} {words} for sender.example",
            )
            for word, words, code in [
                (Receives.NULL_MX, "The sender accepts no mail (null MX)", "550 5.7.27"),
                (Receives.NO_MAIL, "The sender cannot receive mail: no MX and no address", "550 5.1.8"),
                (Receives.TEMPERROR, "DNS does not say now whether the sender can receive mail", "451 4.4.3"),
            ]
        ),
    ],
)
def test_the_reason_and_the_reply_say_what_decided(policy, found, reason, reply):
    verdict = decide(policy, found)
    assert (verdict.reason, verdict.reply and str(verdict.reply)) == (reason, reply)


def test_the_setting_for_an_ambiguous_author_is_named():
    found = replace(evidence(), dmarc=replace(dmarc(Result.PERMERROR), ambiguous=True))
    for action in (Action.TAG, Action.HOLD, Action.REJECT):
        verdict = decide(Policy(dmarc=DmarcActions(ambiguous_author=action)), found)
        assert (verdict.action, verdict.rule) == (action, "dmarc.ambiguous_author")


@pytest.mark.parametrize(
    ("trouble", "decider", "reason"),
    [
        (
            Trouble.UNAVAILABLE,
            Decider(Kind.CONFIGURATION, "dns.unavailable"),
            "DNS answered no question about the message",
        ),
        (Trouble.UNSENT, Decider(Kind.BUILT_IN, "dns.unsent"), "This host could not send a DNS question in time"),
    ],
)
def test_a_message_is_deferred_if_dns_as_a_whole_has_no_answer(trouble, decider, reason):
    """Unless it is refused for what is known."""
    found = decide(STANDARD, evidence(Result.PASS, REJECT), trouble=trouble)
    assert (found.action, found.would, found.decider, found.reason) == ("defer", "defer", decider, reason)
    assert str(found.reply) == "451 4.4.3 Temporary failure of DNS"
    assert decide(STANDARD, evidence(Result.FAIL, REJECT), trouble=trouble).action == "reject"
    assert decide(Policy(mode=Mode.MONITOR), evidence(), trouble=trouble).action == "accept"


def test_actions_rise_in_severity():
    assert sorted(Action, key=lambda action: action.severity) == ["accept", "tag", "hold", "defer", "reject"]


def test_the_first_of_the_sample_is_outside_where_nothing_is_enforced():
    """The numbers are 0 to 99, so a percentage of 0 has none of them."""
    made = Policy(dmarc=DmarcActions(enforce_percent=0))
    found = decide(made, evidence(Result.FAIL, REJECT), sample=0)
    assert (found.action, found.would) == ("accept", "reject")
    assert decide(Policy(dmarc=DmarcActions(enforce_percent=1)), evidence(Result.FAIL, REJECT)).action == "reject"


@pytest.mark.parametrize(
    ("found", "would"),
    [
        (evidence(Result.FAIL, REJECT), "reject"),
        (evidence(Result.TEMPERROR, at_stake=REJECT), "defer"),
        (own(), "reject"),
        (replace(own(), dmarc=replace(dmarc(Result.PERMERROR), ambiguous=True)), "reject"),
    ],
)
def test_outside_the_sample_every_finding_of_dmarc_is_only_recorded(found, would):
    lines = replace(OWN.dmarc, ambiguous_author=Action.REJECT, temperror=Action.DEFER, enforce_percent=50)
    for sample, action in ((49, would), (50, "accept")):
        verdict = decide(Policy(dmarc=lines), found, sample=sample)
        assert (verdict.action, verdict.would) == (action, would)


@pytest.mark.parametrize(("result", "would"), [(Result.NONE, "reject"), (Result.TEMPERROR, "defer")])
def test_findings_of_a_monitored_author_are_only_recorded(result, would):
    (element,) = OWN.dmarc.authors
    made = Policy(dmarc=replace(OWN.dmarc, authors=(replace(element, monitor=True),)))
    verdict = decide(made, own(result))
    assert (verdict.action, verdict.would) == ("accept", would)


# --- an author of several readings

NAMES = [Domain(f"{name}.example") for name in "abc"]
ACTIONS = st.sampled_from(Action)
ELEMENTS = st.builds(
    AuthorActions,
    authors=st.lists(st.sampled_from(NAMES), unique=True, min_size=1).map(lambda names: Domains(tuple(sorted(names)))),
    **dict.fromkeys(["reject", "quarantine", "none", "unpublished"], st.none() | ACTIONS),
    monitor=st.booleans(),
)
LEAVES = st.one_of(
    st.sampled_from(NAMES).map(lambda name: Match("author", Domains((name,)))),
    st.sets(st.sampled_from([Result.NONE, Result.FAIL, Result.TEMPERROR]), min_size=1).map(
        lambda words: Match("dmarc", tuple(sorted(words)))
    ),
    st.sampled_from(NAMES).map(lambda name: Match("recipient", Addresses((name,)))),
    st.sets(st.sampled_from(Disposition), min_size=1).map(lambda words: Match("policy", tuple(sorted(words)))),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(inner.map(Not), st.tuples(inner, inner).map(All), st.tuples(inner, inner).map(AnyOf)),
    max_leaves=5,
)
POLICIES = st.builds(
    lambda general, needs, elements, percent, rules: Policy(
        dmarc=DmarcActions(
            **dict(zip(["none", "reject", "quarantine", "temperror", "ambiguous_author"], general, strict=True)),
            reject_needs=needs,
            authors=tuple(elements),
            enforce_percent=percent,
        ),
        rules=tuple(
            Rule(name=f"r{at}", condition=condition, action=action, monitor=monitor)
            for at, (condition, action, monitor) in enumerate(rules)
        ),
    ),
    st.tuples(ACTIONS, ACTIONS, ACTIONS, ACTIONS, st.none() | ACTIONS),
    st.none() | CONDITIONS,
    st.lists(ELEMENTS, max_size=3),
    st.sampled_from([0, 100]),
    st.lists(st.tuples(CONDITIONS, ACTIONS, st.booleans()), max_size=3),
)


READINGS = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(
            [(each, Result.FAIL) for each in Disposition]
            + [(None, each) for each in (Result.NONE, Result.TEMPERROR, Result.PERMERROR)]
        ),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda each: each[0],
)


def nobody_is_asked(name, rdtype):
    raise AssertionError(name, rdtype)


def of(author, readings):
    """The evidence for a message that authenticates nobody."""
    known = [Found(Dmarc(result, name, policy, "p" if policy else "")) for name, (policy, result) in readings]
    found = dmarc_check(author, [], nobody_is_asked, known=known, limits=LIMITS)
    return replace(evidence(), dmarc=found, authors=None if author.unread else author.domains)


@pytest.mark.parametrize(("one", "other"), [*permutations([Action.ACCEPT, Action.TAG, Action.HOLD, Action.REJECT], 2)])
def test_the_most_severe_setting_of_several_authors_applies(one, other):
    """Whether it is that of an element of `authors` or the general one."""
    element = AuthorActions(authors=Domains(("a.example",)), reject=one)
    made = Policy(dmarc=DmarcActions(reject=other, authors=(element,)))
    readings = [(name, (REJECT, Result.FAIL)) for name in NAMES[:2]]
    found = decide(made, of(Author(tuple(NAMES[:2]), AuthorFault.SEVERAL_DOMAINS), readings))
    assert found.action is max(one, other, key=lambda action: action.severity)


@given(POLICIES, READINGS)
def test_no_reading_takes_anything_off_what_follows_from_another(made, readings):
    """Whatever the lines and rules: a message of several is treated no better than that of the strictest alone."""
    alone = [decide(made, of(Author((each[0],)), [each])).action for each in readings]
    names = tuple(name for name, _ in readings)
    together = decide(made, of(Author(names, AuthorFault.SEVERAL_DOMAINS), readings)).action
    assert together.severity >= max(each.severity for each in alone)
    unread = decide(made, of(Author(names, AuthorFault.DOMAINS, unread=True), [])).action
    # what lines of the operator's own make wait for DNS has not failed yet, and a limit of ours does not wait
    waits = [each[1][1] is Result.TEMPERROR for each in readings]
    failed = [action.severity for action, waiting in zip(alone, waits, strict=True) if not waiting]
    assert unread.severity >= max(failed, default=0)


@given(POLICIES, READINGS, st.lists(st.sampled_from([f"x@{name}" for name in NAMES]), min_size=1, max_size=3))
def test_no_recipient_takes_anything_off_what_follows_from_another(made, readings, recipients):
    found = of(Author(tuple(name for name, _ in readings), AuthorFault.SEVERAL_DOMAINS), readings)
    alone = [decide(made, found, recipients=[each]).action.severity for each in recipients]
    assert decide(made, found, recipients=recipients).action.severity >= max(alone)
    # one that stands for those that are more than are kept may be any of them
    assert decide(made, found, recipients=[""]).action.severity >= max(alone)


WORDS = ["none", "pass", "fail", "temperror"]
SINGLE = st.recursive(
    st.one_of(
        st.tuples(st.sampled_from(["spf", "dkim"]), st.sets(st.sampled_from(WORDS), min_size=1)).map(
            lambda made: Match(made[0], tuple(sorted(map(Result, made[1]))))
        ),
        st.sampled_from(["a.example", "b.a.example", ".a.example", ".example"]).map(
            lambda name: Match("spf_pass", Domains((name,)))
        ),
        st.sampled_from(["10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9", "10.0.0.1/32"]).map(
            lambda network: Match("client", Networks((ip_network(network),)))
        ),
    ),
    lambda inner: st.one_of(inner.map(Not), st.tuples(inner, inner).map(All), st.tuples(inner, inner).map(AnyOf)),
    max_leaves=6,
)


CASES = [
    Case(
        connection=Connection(ip_address(client)),
        transaction=Transaction(),
        evidence=evidence(spf=spf, dkim=[dkim], domain=domain),
    )
    for client in ("10.0.0.1", "10.1.0.0", "10.128.0.0", "192.0.2.1")
    for spf in (*WORDS, "softfail")
    for dkim in (*WORDS, "neutral")
    for domain in ("a.example", "b.a.example", "c.a.example", "x.example", "x.org")
]


@given(condition=SINGLE)
def test_what_never_holds_is_found_out_by_solving(condition):
    """It holds for none of all the messages that such a condition can tell apart, and else for one of them."""
    assert never_holds(condition) is not any(condition.holds(case, every=False) for case in CASES)


@pytest.mark.parametrize(("size", "is_known"), [(20, True), (20_000, False)])
def test_how_many_domains_are_looked_at_to_find_that_out(size, is_known):
    """A list that is in another one, not in itself, is gone through; config check must not take minutes for that."""
    names = tuple(f"d{number}.example" for number in range(size))
    some, more = Match("author", Domains(names)), Match("author", Domains((*names, "other.example")))
    assert never_holds(All((some, Not(Match("author", Domains(names))))))
    assert never_holds(All((some, Not(more)))) is is_known
    assert not never_holds(All((more, Not(some))))


@pytest.mark.parametrize(
    ("sizes", "is_known"),
    [((500,), True), ((501,), False), ((20, 25), True), ((20, 26), False), ((2,) * 8, True), ((2,) * 9, False)],
)
def test_how_many_alternatives_are_looked_at_to_find_that_out(sizes, is_known):
    """Each part in `any` multiplies them; 500 are looked at."""
    nobody = (Match("author", Domains(("a.example",))), Not(Match("author", Domains((".example",)))))
    parts = [
        AnyOf(tuple(Match("helo", Domains((f"{number}.{size}{part}.example",))) for number in range(size)))
        for part, size in enumerate(sizes)
    ]
    assert never_holds(All((*parts, *nobody))) is is_known


def test_alternatives_that_are_the_same_are_counted_before_that_is_known():
    """Or config check would make all pairs of a long list with itself."""
    nobody = (Match("author", Domains(("a.example",))), Not(Match("author", Domains((".example",)))))
    part = AnyOf(tuple(Match("helo", Domains((f"{number}.example",))) for number in range(30)))
    assert not never_holds(All((part, part, *nobody)))


@pytest.mark.parametrize(
    ("everybody", "last"), [("0.0.0.0/0", "255.255.255.255"), ("::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")]
)
def test_the_last_address_is_an_address(everybody, last):
    whole, last = ip_network(everybody), ip_network(last)
    others = tuple(whole.address_exclude(last))
    assert not never_holds(All((Match("client", Networks((whole,))), Not(Match("client", Networks(others))))))
    assert never_holds(All((Match("client", Networks((whole,))), Not(Match("client", Networks((*others, last)))))))
