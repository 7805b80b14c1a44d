"""A report as XML (RFC 9990 section 3.1.1 and Appendix A), piece by piece: no more than one record is in memory.

Where the schema allows any order, the elements are in the order of the tables of section 3.1.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from .. import __version__
from ..result import Result
from . import fit, naming
from .report import Policy, Report, Row, Signature, Spf

NAMESPACE = "urn:ietf:params:xml:ns:dmarc-2.0"
VERSION = "1.0"
MAX_SIGNATURES = 100  # of a record (section 3.1.3)
MAX_ERROR = 1000  # characters of the error element, which "should not contain an extremely large body"
_ACTIONS = ("none", "quarantine", "reject")
_MODES = ("r", "s")
_DKIM_RESULTS = frozenset(Result) - {Result.SOFTFAIL}
_SPF_RESULTS = frozenset(Result)


def xml(report: Report) -> bytes:
    """The document, in UTF-8. Raises ValueError for a report without rows, which the schema does not allow."""
    return b"".join(pieces(report))


def pieces(report: Report) -> Iterator[bytes]:
    """The document in pieces: the head, each record, the end. Raises ValueError as :func:`xml` does."""
    yield "\n".join(_head(report)).encode()
    empty = True
    for row, count in report.rows:
        empty = False
        yield "\n".join(_record(row, count)).encode()
    if empty:
        raise ValueError("a report has at least one row")
    yield b"</feedback>\n"


def _head(report: Report) -> Iterator[str]:
    reporter, period = report.reporter, report.period
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f'<feedback xmlns="{NAMESPACE}">'
    yield f"  {_element('version', VERSION)}"
    yield "  <report_metadata>"
    yield f"    {_element('org_name', fit.sentence(reporter.org_name) or fit.name(reporter.domain))}"
    yield f"    {_element('email', fit.name(reporter.address))}"
    if contact := fit.sentence(reporter.contact):
        yield f"    {_element('extra_contact_info', contact)}"
    yield f"    {_element('report_id', naming.id_of(report))}"
    yield "    <date_range>"
    yield f"      {_element('begin', str(period.begin))}"
    yield f"      {_element('end', str(period.end))}"
    yield "    </date_range>"
    if error := _error(report.errors):
        yield f"    {_element('error', error)}"
    yield f"    {_element('generator', f'mailassay {__version__}')}"
    yield "  </report_metadata>"
    yield from _policy(report.policy)
    yield ""


def _error(errors: tuple[str, ...]) -> str:
    """What becomes of the errors: one element, since no more are allowed (section 3.1.5)."""
    return fit.sentence("; ".join(filter(None, map(fit.sentence, errors))), MAX_ERROR)


def _policy(policy: Policy) -> Iterator[str]:
    yield "  <policy_published>"
    yield f"    {_element('domain', fit.name(policy.domain))}"
    # the only method of RFC 9989
    yield f"    {_element('discovery_method', 'treewalk')}"
    for tag in ("p", "sp", "np"):
        yield f"    {_element(tag, _one_of(_ACTIONS, getattr(policy, tag)))}"
    yield f"    {_element('fo', fit.name(policy.fo))}"
    yield f"    {_element('adkim', _one_of(_MODES, policy.adkim))}"
    yield f"    {_element('aspf', _one_of(_MODES, policy.aspf))}"
    yield f"    {_element('testing', 'y' if policy.testing else 'n')}"
    yield "  </policy_published>"


def _record(row: Row, count: int) -> Iterator[str]:
    yield "  <record>"
    yield "    <row>"
    yield f"      {_element('source_ip', fit.address(row.source_ip))}"
    yield f"      {_element('count', str(count))}"
    yield "      <policy_evaluated>"
    yield f"        {_element('disposition', row.disposition)}"
    yield f"        {_element('dkim', 'pass' if row.dkim else 'fail')}"
    yield f"        {_element('spf', 'pass' if row.spf else 'fail')}"
    for reason in row.reasons:
        yield "        <reason>"
        yield f"          {_element('type', reason.type)}"
        if comment := fit.sentence(reason.comment):
            yield f"          {_element('comment', comment)}"
        yield "        </reason>"
    yield "      </policy_evaluated>"
    yield "    </row>"
    yield "    <identifiers>"
    yield f"      {_element('header_from', fit.name(row.header_from))}"
    if row.envelope_from is not None:
        # empty for a null reverse-path (section 3.1.1.10)
        yield f"      {_element('envelope_from', row.envelope_from and fit.name(row.envelope_from))}"
    yield "    </identifiers>"
    yield "    <auth_results>"
    for signature in row.signatures[:MAX_SIGNATURES]:
        yield from _dkim(signature)
    if row.spf_result:
        yield from _spf(row.spf_result)
    yield "    </auth_results>"
    yield "  </record>"
    yield ""


def _dkim(found: Signature) -> Iterator[str]:
    yield "      <dkim>"
    yield f"        {_element('domain', fit.name(found.domain))}"
    yield f"        {_element('selector', fit.name(found.selector))}"
    # neutral: "also used for other failures not covered elsewhere" (RFC 8601 section 2.7.1)
    yield f"        {_element('result', found.result if found.result in _DKIM_RESULTS else Result.NEUTRAL)}"
    yield "      </dkim>"


def _spf(found: Spf) -> Iterator[str]:
    yield "      <spf>"
    yield f"        {_element('domain', fit.name(found.domain))}"
    yield f"        {_element('scope', 'mfrom')}"
    yield f"        {_element('result', found.result if found.result in _SPF_RESULTS else Result.NONE)}"
    yield "      </spf>"


def _one_of(words: tuple[str, ...], word: str) -> str:
    """The word if it is one of these, else the first of them, which is the one that asks for least."""
    return word if word in words else words[0]


def _element(tag: str, text: str) -> str:
    return f"<{tag}>{escape(text)}</{tag}>"
