"""Decides whether a match is a secret: placeholders, words, paths and code are none."""

from __future__ import annotations

import math
import re
from binascii import Error, a2b_base64
from collections import Counter
from urllib.parse import unquote_to_bytes

from orchestrator.secretscan.public_values import is_public_data

# Placeholders for values that are filled in elsewhere.
_FILLED_IN = re.compile(
    rb"\$?\$\{[^}]*\}|\$\([^)]*\)|\{\{.*?\}\}|%\([^)]*\)s|\{[\w.!:()\[\],-]*\}|<[^<>]*>|\$\w+|%\w+%|@\w+@"
)
_WORD = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
#: Words of which values in examples consist.
_PLACEHOLDERS = frozenset(
    b"a access account add admin an and any api app auth bar baz bearer change changed changeme"
    b" client code config credential credentials db default demo dev dummy enter env example fake"
    b" field file fill fixture foo for from goes here hidden id in input insert invalid is it key"
    b" keys local login masked me missing mock my name new no not null of on only optional or pass"
    b" passphrase passwd password placeholder please private prod put pwd redacted replace required"
    b" reset root sample secret secrets set some something string super test tests testing the this"
    b" to todo token tokens type undefined unset user username value very with xxx your"
    b" yours".split()
)
_EXAMPLE = re.compile(rb"EXAMPLE|0123456789|(?i:abcdefgh)")
_EXAMPLE_DIGITS = 4
# The ends of names whose values are no secrets, and values of hashes.
_OF_ANOTHER_THING = re.compile(
    rb"(?i)(?:public(?:_?key)?|publishable(?:_?key)?|fingerprint|integrity|checksum|hash(?:es)?|digest"
    rb"|commit|rev(?:ision)?|etag|resolved|nonce|test-?id|name|field|label|file|path|dir|url|uri"
    rb"|type|namespace|(?:key|token)_?-?id|length|count|header|prefix|regex|pattern|policy|hint|format|column|version|title|arn"
    rb"|placeholder|ref|contract|address|site_?key|class|kid)"
    rb"[\"'`\]]{0,2}\s*(?:=>|:=|[:=(,>])?\s*[\"'`]?$"
    rb"|(?:sha\d{1,3}|md5|h1|blake2\w?)[-:=]$|base64,$|[@#]$|\bid=$|0x$"
)
# Words with "pass" that do not name passwords.
_NO_PASSWORD = re.compile(
    rb"(?i)(?:(?:com|by|encom|tres|sur|mini)pass|pass(?:port|enger|ive|age|through))"
    rb"(?!\w*(?:pass|pwd|secret|cred))[\w.-]{0,24}[\"'`\]]{0,2}\s*(?:=>|:=|[:=(,>])?\s*[\"'`]?$"
)
# One of a list of names: `"injectPassword", "inject2FaToken"`.
_LISTED = re.compile(rb"[\"'`]\s?,\s?[\"'`]$")
_CAMEL = re.compile(rb"[A-Za-z]+\d?[A-Za-z]*")
#: The maximum distance of a name before its value.
_NAME_BYTES = 64
# Lines of base64 in a block: certificates, public keys, messages.
_BLOCK_LINE_BYTES = (60, 64, 70, 72, 76)
# Names with a number, which makes them no passwords.
_TECHNICAL = re.compile(
    rb"(?i)x509|x?ed?(?:25519|448)|x25519|(?:utf|base|sha|md|iso|latin|cp|aes|rsa|pkcs|oauth|http|win)"
    rb"[-_]?\d+|ipv[46]|\bv\d+|s3|ec2|k8s|i18n|l10n"
)
_NUMBER = re.compile(rb"(?i)0x[0-9a-f]+[ul]*|#[0-9a-f]{3,8}|[\d._-]+(?:[a-z]{1,3}\d{0,3})?")
_ATTRIBUTE = re.compile(rb"[A-Za-z_]\w*(?:(?:\.|::|->|\?\.)[A-Za-z_]\w*)+")
_NAMED_ELSEWHERE = re.compile(
    rb"(?i)(?:arn|vault|secrets?|projects?|op|ref|file|env)[:/].*|[.~]?/.*"
)
_PATH = re.compile(rb"[\w.-]*(?:/[\w.-]*)+")
_UUID = re.compile(rb"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HEX = re.compile(rb"[0-9a-f]+|[0-9A-F]+")
_ESCAPED_HEX = re.compile(rb"x(?:[0-9a-f]{2})+|x(?:[0-9A-F]{2})+")
_JWT_HEADERS = (b'{"alg":', b'{"typ":')
_TEXT = re.compile(rb"[\t\n\r -~]+")
_SEPARATORS = re.compile(rb"[-_.:]")
_NAME_BEFORE_TOKEN = re.compile(rb"(?:(?:[A-Za-z]{1,12}\d{0,2}[A-Za-z]?\d{0,2}|\d{1,5})[_.-])*")

# -ln P(second letter | first), rounded, over the words in the modules of Python's standard library:
# a row for each first letter. Random letters have an average of 4.9, names in code 2.6.
_PAIRS = b"""
73337547374232838232445547 25342666337256347335278735 28462672393356267352367858
35631567267365268435356749 35324446586332535223645358 27553267198365257343377849
36551643298353359324356866 28651676297545279453488957 44334449685331247332849594
38551686484666148546286858 36541546286363556425473968 26531567296265258533366937
23651687386545229635388859 36322426374464358622447958 54335457484332439233343677
27552665396266236242375839 66656686668465865356166688 25441547285533259333455839
37451553285455336522365748 26452572297456358233365747 43443449397232539222778698
16791667298756368666756777 25542672288473268236675588 35252465297447529541666346
54453557398433328422643855 36561676288445358556687855""".split()
_RANDOM_PAIRS = 3.5
_FEWEST_PAIRS = 3


def entropy(value: bytes) -> float:
    """Return the Shannon entropy of a value in bits a byte."""
    size = len(value)
    return -sum(n / size * math.log2(n / size) for n in Counter(value).values())


def is_secret(value: bytes, kind: str, before: bytes) -> bool:
    """Return whether a value is a secret of its rule's kind; `before` is its line up to it."""
    if _is_placeholder(value):
        return False
    if kind == "certain":
        return True
    named = before[-_NAME_BYTES:]
    if _OF_ANOTHER_THING.search(named) or is_public_data(value):
        return False
    if kind in ("password", "bare"):
        if _NO_PASSWORD.search(named) or _is_listed_name(value, named):
            return False
        value = unquote_to_bytes(value)
    if kind == "token":
        return _is_token(value) and not (len(value) in _BLOCK_LINE_BYTES and not before)
    judges = {
        "password": _is_password,
        "bare": _is_bare,
        "random": _is_random,
        "authorization": _is_authorization,
    }
    return judges[kind](value)


def _is_placeholder(value: bytes) -> bool:
    rest = _FILLED_IN.sub(b"", value)
    if (rest != value and not re.search(rb"\d.{5}|.{5}\d", rest)) or _EXAMPLE.search(value):
        return True
    if len(set(value.lower())) <= 3:  # noqa: PLR2004 - xxxxxxxx, ********, 00-00-00
        return True
    words = _WORD.findall(value)
    return (
        bool(words)
        and len(re.findall(rb"\d", value)) <= _EXAMPLE_DIGITS
        and all(word.lower() in _PLACEHOLDERS for word in words)
    )


def _is_listed_name(value: bytes, before: bytes) -> bool:
    return (
        _LISTED.search(before) is not None
        and _CAMEL.fullmatch(value) is not None
        and _pairs(value) <= _RANDOM_PAIRS
    )


def _is_authorization(value: bytes) -> bool:
    """Check `Basic` credentials by their password, anything else by its randomness."""
    try:
        user, colon, password = a2b_base64(value, strict_mode=True).partition(b":")
    except Error:
        return _is_random(value)
    if colon and (user + password).isascii() and (user + password).decode().isprintable():
        return not _is_placeholder(password) and _is_password(password)
    return _is_random(value)


def _is_password(value: bytes) -> bool:
    is_mixed = _has_digit(value) or re.search(rb"[!@#^*~?+].*[!@#^*~?+]", value)
    if not is_mixed or not re.search(rb"[A-Za-z]", value) or b"://" in value:
        return False
    if _NAMED_ELSEWHERE.fullmatch(value) or _NUMBER.fullmatch(value):
        return False
    return not _PATH.fullmatch(value) or _is_random(value)


def _is_bare(value: bytes) -> bool:
    return _is_password(value) and _has_digit(value) and not _is_code(value)


def _has_digit(value: bytes) -> bool:
    return re.search(rb"\d", _TECHNICAL.sub(b"", value)) is not None


def _is_code(value: bytes) -> bool:
    plain = _TECHNICAL.sub(b"x", value)
    return _ATTRIBUTE.fullmatch(plain) is not None and len(re.findall(rb"\d", plain)) <= 1


def _is_random(value: bytes) -> bool:
    digits = len(re.findall(rb"\d", value))
    if len(value) < 12 or digits in (0, len(value)):  # noqa: PLR2004 - too short to tell
        return False
    if _UUID.fullmatch(value):
        return True
    longest = max(_SEPARATORS.split(value), key=len)
    if _HEX.fullmatch(longest) and len(longest) * 2 > len(value):
        return len(longest) >= 20 and entropy(longest) > 2.8  # noqa: PLR2004 - hex has 4 at most
    return entropy(value) > 3.0 and _pairs(value) > _RANDOM_PAIRS  # noqa: PLR2004 - of 6


def _is_token(value: bytes) -> bool:
    if all(_HEX.fullmatch(part) for part in value.split(b"-") if part) or value[:2] == b"0x":
        return False
    if _NUMBER.fullmatch(value) or _ESCAPED_HEX.fullmatch(value) or _is_packed_words(value):
        return False
    body = value[len(_NAME_BEFORE_TOKEN.match(value)[0]) :]  # type: ignore[index]
    if _HEX.fullmatch(body):
        return len(body) >= 28 and _is_random(body)  # noqa: PLR2004 - shorter ones name builds
    return len(body) >= 16 and entropy(body) > 3.4 and _is_random(body)  # noqa: PLR2004 - as above


def _is_packed_words(value: bytes) -> bool:
    """Return whether this is base64 of words; secrets in it are found in its decoded text."""
    try:
        plain = a2b_base64(value + b"=" * (-len(value) % 4), strict_mode=True)
    except Error:
        return False
    if plain.startswith(_JWT_HEADERS):
        return True
    return _TEXT.fullmatch(plain) is not None and _pairs(plain) <= _RANDOM_PAIRS


def _pairs(value: bytes) -> float:
    """Return how improbable the letter pairs of a value are in words."""
    pairs = [
        _PAIRS[first - 97][second - 97] - 48
        for first, second in zip(value.lower(), value.lower()[1:], strict=False)
        if 97 <= first <= 122 and 97 <= second <= 122  # noqa: PLR2004 - a to z
    ]
    return sum(pairs) / len(pairs) if len(pairs) >= _FEWEST_PAIRS else math.inf
