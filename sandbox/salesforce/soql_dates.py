"""Date literals such as TODAY and LAST_N_DAYS:7 as half-open ranges of UTC days."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from sandbox.salesforce.soql_syntax import malformed

DAY = timedelta(days=1)


def day_range(word: str, today: date | None = None) -> tuple[date, date]:
    """`word` is upper case, with its number after a colon; weeks start on Sunday (en_US)."""
    name, _, number = word.partition(":")
    day = today or datetime.now(UTC).date()
    if number:
        if not number.isdigit() or name not in _COUNTED:
            raise malformed(f"unexpected token: '{word}'")
        first, last = _COUNTED[name]
        count = int(number)
        return day + DAY * (first[0] * count + first[1]), day + DAY * (last[0] * count + last[1])
    if name in _DAYS:
        first_day, last_day = _DAYS[name]
        return day + DAY * first_day, day + DAY * last_day
    period, _, unit = name.partition("_")
    shift = {"LAST": -1, "THIS": 0, "NEXT": 1}.get(period)
    if shift is None or unit not in ("WEEK", "MONTH", "YEAR"):
        raise malformed(f"unexpected token: '{word}'")
    if unit == "WEEK":
        sunday = day - DAY * ((day.weekday() + 1) % 7) + DAY * 7 * shift
        return sunday, sunday + DAY * 7
    if unit == "YEAR":
        return date(day.year + shift, 1, 1), date(day.year + shift + 1, 1, 1)
    month = day.year * 12 + day.month - 1 + shift
    return date(*_year_month(month), 1), date(*_year_month(month + 1), 1)


def _year_month(months: int) -> tuple[int, int]:
    return months // 12, months % 12 + 1


# first and end (exclusive) day, counted from today
_DAYS = {
    "YESTERDAY": (-1, 0),
    "TODAY": (0, 1),
    "TOMORROW": (1, 2),
    "LAST_90_DAYS": (-90, 1),
    "NEXT_90_DAYS": (1, 91),
}
# the same as (factor of n, constant)
_COUNTED = {
    "LAST_N_DAYS": ((-1, 0), (0, 1)),
    "NEXT_N_DAYS": ((0, 1), (1, 1)),
    "N_DAYS_AGO": ((-1, 0), (-1, 1)),
}
