"""Record ids: 15 case-sensitive characters and the 3-character suffix that makes them 18.

The suffix rule and the prefixes are from Salesforce contract 2.3.
"""

from __future__ import annotations

import string
from collections import defaultdict

_SUFFIX = string.ascii_uppercase + "012345"
_CAPITALS = str.maketrans(string.ascii_letters + string.digits, "0" * 26 + "1" * 26 + "0" * 10)
_SUFFIX_OF = {f"{number:05b}"[::-1]: char for number, char in enumerate(_SUFFIX)}
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PAIRS = [first + second for first in _BASE62 for second in _BASE62]
# A first number whose base-62 digits hold capitals and small letters, so that code which compares
# 15-character ids without regard to case is found out by the first rows it reads.
_FIRST = 62**4 * 11 + 62**3 * 37 + 62**2 * 12 + 62 * 38


def to_18(id15: str) -> str:
    """`id15` is 15 ASCII letters and digits."""
    capitals = id15.translate(_CAPITALS)
    first, second, third = capitals[:5], capitals[5:10], capitals[10:]
    return id15 + _SUFFIX_OF[first] + _SUFFIX_OF[second] + _SUFFIX_OF[third]


def normalise(value: object) -> str | None:
    """The 18-character form of a 15- or 18-character id, or None if it is no id.

    18 characters are case-safe: a spelling in wrong case is repaired from the suffix.
    """
    if not isinstance(value, str) or not value.isascii() or not value.isalnum():
        return None
    if len(value) == 15:
        return to_18(value)
    if len(value) != 18:
        return None
    if to_18(value[:15]) == value:
        return value
    suffix = value[15:].upper()
    if any(char not in _SUFFIX for char in suffix):
        return None
    repaired = "".join(
        char.upper() if _SUFFIX.index(suffix[k // 5]) >> (k % 5) & 1 else char.lower()
        for k, char in enumerate(value[:15])
    )
    full = to_18(repaired)
    return full if full[15:] == suffix else None


class IdFactory:
    """Ascending ids per prefix, as `001Aa` + ten base-62 digits + suffix."""

    def __init__(self) -> None:
        self._next: dict[str, int] = defaultdict(lambda: _FIRST)

    def continue_after(self, other: IdFactory) -> None:
        """Makes sure that no id `other` has given is given again."""
        for prefix, number in other._next.items():
            self._next[prefix] = max(self._next[prefix], number)

    def new(self, prefix: str) -> str:
        number = self._next[prefix]
        self._next[prefix] = number + 1
        digits = ""
        for _ in range(5):
            number, pair = divmod(number, 62 * 62)
            digits = _PAIRS[pair] + digits
        return to_18(f"{prefix}Aa{digits}")
