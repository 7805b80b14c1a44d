"""The options of rspamd's module dkim_signing, and what becomes of each."""

from __future__ import annotations

DEFAULT_SELECTOR = "dkim"
DEFAULT_PATH = "/var/lib/rspamd/dkim/$domain.$selector.key"
ON = frozenset({"allow_envfrom_empty", "enabled", "sign_authenticated", "sign_local", "try_fallback", "use_esld"})
"""The booleans that are on unless they are set."""

READ = frozenset({
    "allow_hdrfrom_mismatch", "allow_username_mismatch", "domain", "enabled", "key_table", "path", "path_map",
    "selector", "selector_map", "sign_authenticated", "sign_local", "sign_networks", "signing_table", "try_fallback",
    "use_domain", "use_esld",
})  # fmt: skip
NOTHING = frozenset({
    "allow_envfrom_empty", "allow_headers_fallback", "allow_pubkey_mismatch", "check_pubkey", "check_violation",
    "http_domain_header", "http_key_header", "http_selector_header", "http_sign_header",
    "http_sign_on_reject_header_header", "http_timeout", "key_prefix", "no_ssl_verify", "selector_prefix", "servers",
    "symbol", "use_milter_headers", "vault_domains", "vault_path", "vault_token", "vault_url",
})  # fmt: skip
_ELSEWHERE = "keys are files. Write them into files, and name these in path"
_AUTHOR = "d= is the domain of the author, whoever the client is"
WITHOUT = {
    "allowed_ids": "settings of rspamd decide nothing here",
    "forbidden_ids": "settings of rspamd decide nothing here",
    "sign_condition": "there are no scripts",
    "sign_headers": "docs/signing.md says which fields are signed",
    "use_domain_custom": "there are no scripts",
    "use_domain_sign_inbound": _AUTHOR,
    "use_domain_sign_local": _AUTHOR,
    "use_domain_sign_networks": _AUTHOR,
}
"""The options that have no equivalent, and why."""

WITHOUT_IF_ON = {
    "allow_hdrfrom_mismatch_local": "sign.from holds for all clients; any signs whatever MAIL FROM is",
    "allow_hdrfrom_mismatch_sign_networks": "sign.from holds for all clients; any signs whatever MAIL FROM is",
    "allow_hdrfrom_multiple": "a message with two From fields is never signed",
    "sign_inbound": "mail that is judged is not signed",
    "skip_spam_sign": "a milter before mailassay can refuse spam of your users; what goes out is signed",
    "use_http_headers": "no program tells mailassay what to sign",
    "use_redis": _ELSEWHERE,
    "use_vault": _ELSEWHERE,
}
"""The booleans that have no equivalent if they are on, and why."""

KNOWN = READ | NOTHING | {*WITHOUT} | {*WITHOUT_IF_ON}
