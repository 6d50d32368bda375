"""Reads both sides back and says field by field what is not as it should be.

The expectations are written down here a second time, without the app's mapping code: a mistake in the
mapping must not hide itself.
"""

from __future__ import annotations

from sandbox.verification.accounts import account_differences, differences, expected_customer
from sandbox.verification.reading import rows, wrong

__all__ = ["account_differences", "differences", "expected_customer", "rows", "wrong"]
