"""Amounts: exact in between, JSON numbers in the rows, two decimals, half away from zero.

Rows keep what JSON carries (int or float); sums and products run in `Decimal`.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

CENT = Decimal("0.01")
# What one unit of a currency is worth in US dollars; fixed, so that sandbox runs repeat.
DOLLARS = {
    "USD": "1",
    "EUR": "1.08",
    "GBP": "1.27",
    "CAD": "0.73",
    "AUD": "0.65",
    "CHF": "1.12",
    "JPY": "0.0066",
    "CNY": "0.14",
    "INR": "0.012",
    "BRL": "0.18",
    "MXN": "0.055",
    "SEK": "0.095",
    "NOK": "0.094",
    "DKK": "0.145",
    "PLN": "0.25",
}


def exact(value: Any) -> Decimal:
    """A number of a row or a request; raises TypeError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise TypeError(f"{value!r} is no number")
    return Decimal(str(value))


def rounded(value: Decimal) -> Decimal:
    return value.quantize(CENT, ROUND_HALF_UP)


def number(value: Decimal) -> int | float:
    """As F&O writes it: `1500`, `389.45`."""
    return int(value) if value == value.to_integral_value() else float(value)


def converted(amount: Decimal, source: str, target: str) -> Decimal:
    """Raises ValueError for a currency without a rate."""
    if source == target:
        return amount
    try:
        return rounded(amount * Decimal(DOLLARS[source]) / Decimal(DOLLARS[target]))
    except KeyError as error:
        raise ValueError(f"no exchange rate for {error}") from error
