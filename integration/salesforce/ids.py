"""Salesforce record ids, always compared and stored in their 18-character form.

The 15-character form is case-sensitive while F&O compares text without case, so two accounts could look
the same there. The last three characters of the long form carry the case of the first fifteen
(Salesforce contract 2.3), which also lets a long id whose case was lost be put right again.
"""

from __future__ import annotations

import re

_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_ID = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?", re.ASCII)


class _Suffixes(dict[str, str]):
    """What follows 15 characters, by which of them are capitals (1); remembered, there are few in use.

    Characters that an id cannot have stay as they are, and nothing follows them.
    """

    def __missing__(self, capitals: str) -> str:
        blocks = (capitals[start : start + 5] for start in (0, 5, 10))
        is_id = len(capitals) == 15 and set(capitals) <= {"0", "1"}
        suffix = "".join(_SUFFIX[int(block[::-1], 2)] for block in blocks) if is_id else ""
        if len(self) < _REMEMBERED:
            self[capitals] = suffix
        return suffix


_REMEMBERED = 1 << 15
_CAPITALS = {ord(letter): "1" if letter.isupper() else "0" for letter in _ALPHABET}
_SUFFIXES = _Suffixes()


def to_18(value: str) -> str:
    """The 18-character form of a 15- or 18-character id.

    Raises ValueError for another length, another character, or a suffix that does not fit its id.
    """
    if len(value) == 18 and value[15:] == _SUFFIXES[value[:15].translate(_CAPITALS)]:
        return value  # as Salesforce sends it; a hundred thousand of them come in one load
    if not _ID.fullmatch(value):
        raise ValueError(f"not a Salesforce id (15 or 18 letters and digits): {value[:40]!r}")
    short, suffix = value[:15], value[15:].upper()
    if suffix:
        short = "".join(
            _recased(short[start : start + 5], suffix[start // 5], value) for start in (0, 5, 10)
        )
    return short + "".join(_check(short[start : start + 5]) for start in (0, 5, 10))


def is_id(value: object) -> bool:
    """True where `to_18` would answer."""
    if not isinstance(value, str):
        return False
    try:
        to_18(value)
    except ValueError:
        return False
    return True


def object_prefix(value: str) -> str:
    """The three characters that name the object, `001` for Account. Raises ValueError as `to_18`."""
    return to_18(value)[:3]


def _check(block: str) -> str:
    """The suffix character of five: its bits say which are capitals, the first being the lowest."""
    return _SUFFIX[sum(1 << place for place, letter in enumerate(block) if "A" <= letter <= "Z")]


def _recased(block: str, check: str, whole: str) -> str:
    bits = _SUFFIX.find(check)
    letters = []
    for place, letter in enumerate(block):
        capital = bits >> place & 1
        if bits < 0 or (capital and not letter.isalpha()):
            raise ValueError(f"the suffix of this Salesforce id does not fit it: {whole!r}")
        letters.append(letter.upper() if capital else letter.lower())
    return "".join(letters)
