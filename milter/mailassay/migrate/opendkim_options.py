"""The options of opendkim.conf(5), and what becomes of each."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Fate(Enum):
    """What becomes of an option."""

    TAKEN = "taken"  # what is read here
    NOTHING = "nothing"  # it means nothing here, or what it asks for is always so
    CHECKING = "checking"  # it is about mail that is checked; docs/migration.md has what takes its place
    DIFFERS = "differs"  # signing goes on, and this is different
    WITHOUT = "without"  # it has no equivalent


class Option(NamedTuple):
    """An option by its name. ``words`` say what is different, or what to do instead of it."""

    name: str
    fate: Fate
    words: str = ""


_TAKEN = (
    "BaseDirectory ChangeRootDirectory Domain ExemptDomains ExternalIgnoreList Include InternalHosts KeyFile KeyTable "
    "MacroList Mode MTA MultipleSignatures OversignHeaders PeerList Selector SenderHeaders SignatureAlgorithm "
    "SigningTable SubDomains"
)
_NOTHING = (
    "AutoRestart AutoRestartCount AutoRestartRate Background Canonicalization DisableCryptoInit EnableCoredumps "
    "FixCRLF KeepTemporaryFiles LDAPAuthMechanism LDAPAuthName LDAPAuthRealm LDAPAuthUser LDAPBindPassword "
    "LDAPBindUser LDAPDisableCache LDAPKeepaliveIdle LDAPKeepaliveInterval LDAPKeepaliveProbes LDAPTimeout LDAPUseTLS "
    "LogResults LogWhy MilterDebug PidFile RequireSafeKeys SelectCanonicalizationHeader Socket SoftStart "
    "SoftwareHeader Statistics StatisticsName StatisticsPolicyScript StatisticsPrefix StrictTestMode Syslog "
    "SyslogFacility SyslogName SyslogSuccess TemporaryDirectory TestDNSData TestPublicKeys UMask UserID VBR-PurgeFields"
)
_CHECKING = (
    "AllowSHA1Only AlwaysAddARHeader AuthservID AuthservIDWithJobID BogusKey CaptureUnknownErrors ClockDrift "
    "DiagnosticDirectory DNSConnect DNSTimeout DomainKeysCompat IgnoreMalformedMail KeepAuthResults MTACommand "
    "MaximumHeaders MaximumSignaturesToVerify Minimum MinimumKeyBits MustBeSigned Nameservers NoHeaderB "
    "On-BadSignature On-DNSError On-Default On-InternalError On-KeyNotFound On-NoSignature On-Security Quarantine "
    "QueryCache RedirectFailuresTo RemoveARAll RemoveARFrom ReportAddress ReportBccAddress RequiredHeaders "
    "ResolverConfiguration ResolverTracing SMTPURI SendReports StrictHeaders TrustAnchorFile TrustSignaturesFrom "
    "UnprotectedKey VBR-TrustedCertifiers VBR-TrustedCertifiersOnly WeakSyntaxChecks"
)
_DIFFERS = {
    "On-SignatureError": "a key that cannot be used keeps mailassay from starting, and a reload from changing "
    "anything; sign.unsignable says what happens to a message whose author is unclear or not believed",
    "OmitHeaders": "docs/signing.md says which fields are signed; no setting changes that",
    "SignHeaders": "docs/signing.md says which fields are signed; no setting changes that",
    "SignatureTTL": "signatures do not expire: x= keeps nobody from sending a message again before it ends",
}
_WITHOUT = {
    "BodyLengthDB": "l= is never written, since anybody could add to the body",
    "MaximumSignedBytes": "l= is never written, since anybody could add to the body",
    "Diagnostics": "z= is never written",
    "DontSignMailTo": "mail is signed whoever its recipients are. To sign none of it, route it by a service of "
    "master.cf without mailassay",
    "FinalPolicyScript": "there are no scripts; rules of the policy decide about mail that is checked",
    "ScreenPolicyScript": "there are no scripts; rules of the policy decide about mail that is checked",
    "SetupPolicyScript": "there are no scripts: sign.domains has the domains and their keys",
    "IdentityHeader": "i= is never written",
    "IdentityHeaderRemove": "i= is never written",
    "POPDBFile": "there is no POP before SMTP; let clients log in",
    "RemoveOldSignatures": "signatures of others stay. mailassay does not sign again what it has signed",
    "ReplaceHeaders": "a signature covers the message as Postfix has it. Let Postfix change addresses before mailassay "
    "sees them (sender_canonical_maps), not after it (smtp_generic_maps)",
    "ReplaceRules": "a signature covers the message as Postfix has it. Let Postfix change addresses before mailassay "
    "sees them (sender_canonical_maps), not after it (smtp_generic_maps)",
    "RequestReports": "r=y is never written (RFC 6651 is hardly used)",
    "ResignAll": "mail that passes through is not signed again; ARC is made for that",
    "ResignMailTo": "mail that passes through is not signed again; ARC is made for that",
    "SenderMacro": "d= is the domain of the author, never of a macro",
    "VBR-Certifiers": "VBR-Info is never written",
    "VBR-Type": "VBR-Info is never written",
}

OPTIONS = {
    option.name.lower(): option
    for option in (
        *(Option(name, Fate.TAKEN) for name in _TAKEN.split()),
        *(Option(name, Fate.NOTHING) for name in _NOTHING.split()),
        *(Option(name, Fate.CHECKING) for name in _CHECKING.split()),
        *(Option(name, Fate.DIFFERS, words) for name, words in _DIFFERS.items()),
        *(Option(name, Fate.WITHOUT, words) for name, words in _WITHOUT.items()),
    )
}
"""All options by their names in lower case."""

BOOLEANS = frozenset({
    "diagnostics", "identityheaderremove", "multiplesignatures", "removeoldsignatures", "requestreports", "resignall",
    "subdomains",
})  # fmt: skip
"""Of those that are read, or have no equivalent: those that are on or off."""
