"""Values that are public by their own form: publishable keys, digests, versions, samples.

An author who hides a secret chooses the words around it, not the secret. Therefore these forms are
those of the value, and a name beside it counts only together with a form.
"""

from __future__ import annotations

import re

#: Keys that vendors make for browsers, and public keys without a block.
_PUBLISHABLE = re.compile(
    rb"pk_(?:live|test)_\w+|sb_publishable_[\w-]+|FLWPUBK(?:_TEST)?-[\w-]+|phc_\w{30,60}"
    rb"|pub[0-9a-f]{32}|age1[0-9a-z]{58}|RW[A-Za-z0-9+/]{54}"
    # The ids of Stripe's objects, and the content of a SealedSecret, whose key is only in the
    # cluster.
    rb"|(?:acct|ch|cus|evt|in|pi|pm|po|price|prod|re|seti|sub|txn|we)_[A-Za-z0-9]{14,24}"
    rb"|AgA[A-Za-z0-9+/]{300,}=*"
)
#: The beginning of an SSH public key: the length and the name of its algorithm, in base64.
_SSH_PUBLIC = re.compile(
    rb"AAAA(?:[BC]3NzaC1|E2VjZHNh|GnNrLXNza|InNrLWVj|B3NzaC1|C3NzaC1|HHNzaC1|I3NzaC1|KGVjZHNh)"
)
_IMAGE_OR_FONT = re.compile(rb"iVBORw0KGgo|d09GM|R0lGOD|UklGR|/9j/")
#: Digests in the form of the web and of package managers; the algorithm determines the size.
_INTEGRITY = re.compile(
    rb"(?:sha1-[\w+/-]{27}|sha256-[\w+/-]{43}|sha384-[\w+/-]{64}|sha512-[\w+/-]{86})=*|nonce-[\w+/=-]+"
)
#: A version, or a range of versions, in lock files and manifests.
_NUMBERS = rb"[~^<>=!v*]{0,3}\d{1,14}(?:\.(?:\d{1,14}|[x*])){0,4}(?:[-+.]?[0-9A-Za-z]+){0,8}"
_VERSION = re.compile(
    rb"(?:npm|workspace|jsr|catalog):(?:@?[\w./-]+@)?[~^<>=*]*(?:" + _NUMBERS + rb")?"
    rb"|patch:\S+|[~^<>=!]{1,2}\d[\w.*+-]*(?:[,|]+[~^<>=!]{0,2}\d[\w.*+-]*)*"
    rb"|v?\d{1,4}(?:\.\d{1,6}){2}(?:[-+.][0-9A-Za-z]+){0,6}"
)
#: A public parameter of a JSON web key with one of these names has one of these sizes.
_JWK_SIZES = frozenset({22, 27, 43, 44, 64, 76, 86, 88, 171, 172, 342, 344, 512, 683, 684})
_JWK_NAME = re.compile(
    rb"[\"'](?:n|x|y|kid|x5t(?:#S256)?|jkt)[\"']\s{0,4}:\s{0,4}[\"']$"
    rb"|\b(?:kty|crv)\b[^\n]*\b[nxy]=[\"']$|\bjkt[\"']?\s{0,4}[:=]\s{0,4}[\"']?$"
)
_BASE64_URL = re.compile(rb"[\w-]+")
#: The placeholders that documentation prints in place of a secret.
_SAMPLE = re.compile(rb"EXAMPLE|([xX*.#])\1{7,}|0{8,}")
#: The sample token of jwt.io: its claims with any signature, and its signature.
_SAMPLE_JWT = re.compile(rb"eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9l|^SflKxwRJSMeKKF2QT4fw")


def is_public(value: bytes, before: bytes) -> bool:
    """Return whether a value is public under any rule; `before` is its line up to it."""
    if _SAMPLE.search(value) or _SAMPLE_JWT.search(value) or _PUBLISHABLE.fullmatch(value):
        return True
    return (
        len(value) in _JWK_SIZES
        and _BASE64_URL.fullmatch(value) is not None
        and _JWK_NAME.search(before) is not None
    )


def is_public_data(value: bytes) -> bool:
    """Return whether a value that only its shape makes a secret is other data: keys, digests."""
    return bool(
        _SSH_PUBLIC.match(value)
        or _IMAGE_OR_FONT.match(value)
        or _INTEGRITY.fullmatch(value)
        or _VERSION.fullmatch(value)
    )
