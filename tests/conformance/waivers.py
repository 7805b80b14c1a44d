"""Cases that cannot pass, each with the reason: suite, case, why."""

from __future__ import annotations

_LINE_ENDS = (
    "takes a bare LF for a line end; SMTP has none (RFC 5321 section 2.3.8), Postfix gives a milter CRLF, and to turn "
    "bare LF into CRLF is the signer's part, before it signs (RFC 6376 section 5.3)"
)
_NO_REPORTS = "about where reports are sent (RFC 9990 section 4); mailassay sends none"
_PUBLIC_SUFFIX_LIST = (
    "the organizational domain of RFC 7489 section 3.2, by the Public Suffix List; by the tree walk (RFC 9989 section "
    "4.10.2) the only record, the author domain's own, makes that the organizational domain, with which the name above "
    "it does not align"
)

WAIVERS: dict[str, dict[str, str]] = {
    "dkim/go-msgauth/canon.json": {
        "go-msgauth/canon/simple-body/6": _LINE_ENDS,
        "go-msgauth/canon/simple-body/9": _LINE_ENDS,
    },
    "dmarc/kumomta.json": {
        "kumomta/dmarc_dkim_relaxed_subdomain": _PUBLIC_SUFFIX_LIST,
        "kumomta/dmarc_dkim_relaxed_subdomain_deep": _PUBLIC_SUFFIX_LIST,
    },
    "dmarc/mail-auth.json": {
        "stalwart-dmarc/13": _NO_REPORTS,
    },
    "dmarc/rfc9989.json": {
        "rfc9989/B.2.3-external": _NO_REPORTS,
        "rfc9989/B.2.4-override": _NO_REPORTS,
        "rfc9989/9990-4-blue": _NO_REPORTS,
        "rfc9989/9990-4-wildcard": _NO_REPORTS,
        "rfc9989/reject-solely": (
            "about a receiver's default (RFC 9989 section 7.4), where an explicit local policy may differ: it is the "
            "line dmarc.reject of the policy, whose `hold` is what the section asks for"
        ),
    },
}
