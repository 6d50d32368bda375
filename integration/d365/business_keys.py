"""What identifies an invoice or a customer outside of F&O: the keys of hints and of Salesforce External IDs.

`company|kind|number|voucher` and `company|number`. A bar inside a part is written `%7C` and a percent sign
`%25`, so that the parts can be told apart again. Companies are lower case, as F&O answers them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from integration.errors import ContractError

Kind = Literal["sales", "freetext"]
KINDS: tuple[Kind, ...] = ("sales", "freetext")
_SEPARATOR = "|"


@dataclass(frozen=True, slots=True)
class InvoiceKey:
    """`voucher` is None where an event names the number alone; F&O may have used it more than once."""

    company: str
    kind: Kind
    number: str
    voucher: str | None = None

    @property
    def text(self) -> str:
        voucher = () if self.voucher is None else (self.voucher,)
        return _joined(self.company.lower(), self.kind, self.number, *voucher)

    @property
    def root(self) -> str:
        """The same with and without the voucher, so that all hints for an invoice meet in one bucket."""
        return _joined(self.company.lower(), self.kind, self.number)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ContractError."""
        parts = _split(text)
        for kind in KINDS:
            if len(parts) in (3, 4) and parts[1] == kind and all(parts):
                return cls(parts[0].lower(), kind, *parts[2:])
        raise ContractError(f"{text[:80]!r} is no key of an invoice (company|kind|number|voucher)")


@dataclass(frozen=True, slots=True)
class CustomerKey:
    company: str
    number: str

    @property
    def text(self) -> str:
        return _joined(self.company.lower(), self.number)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ContractError."""
        parts = _split(text)
        if len(parts) != 2 or not all(parts):
            raise ContractError(f"{text[:80]!r} is no key of a customer (company|number)")
        return cls(parts[0].lower(), parts[1])


def same_text(value: object) -> str:
    """What F&O compares: without regard to case and trailing blanks; leading blanks are data."""
    return value.rstrip().casefold() if isinstance(value, str) else ""


def _joined(*parts: str) -> str:
    return _SEPARATOR.join(part.replace("%", "%25").replace("|", "%7C") for part in parts)


def _split(text: str) -> list[str]:
    return [part.replace("%7C", "|").replace("%25", "%") for part in text.split(_SEPARATOR)]
