"""What answers of Salesforce mean for the app: pure comparisons, each a row or several."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from integration.cli.checks.check import Check, failed, not_checked, ok, warning
from integration.salesforce.ids import to_18

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from integration.cli.checks.needs import Needs
    from integration.cli.checks.salesforce_keys import KeyNeed
    from integration.mapping.tables import FieldRule, MappingTable
    from integration.salesforce.budget import ApiBudget

LOW = 0.2  # of a limit
_NAMED = 8  # fields in one row
_PERMISSION_SET = (
    "deploy the package of salesforce/ and assign D365_Integration_User; open your own fields in a"
    " permission set of yours (docs/setup-salesforce.md, steps 3 and 4)"
)
_LIMITS = (
    "DailyApiRequests", "DailyBulkApiBatches", "DailyBulkV2QueryJobs", "DataStorageMB",
    "DailyDeliveredPlatformEvents", "HourlyPublishedPlatformEvents",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Described:
    """The parts of a describe that matter; names as the org spells them."""

    flags: Mapping[str, Any]
    fields: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Described:
        return cls(body, {str(field["name"]): field for field in body["fields"]})


def judge_object(name: str, described: Described, needs: Needs) -> list[Check]:
    title, fields = f"{name} fields", described.fields
    rows: list[Check] = []
    if missing := [each for each in needs.fields if each not in fields]:
        text = f"{_listed(missing)}: missing, or hidden from this user"
        rows.append(failed(title, text, _PERMISSION_SET))
    for flag, wanted, word in (
        ("createable", needs.create, "created"),
        ("updateable", needs.update, "changed"),
    ):
        if wanted and not described.flags.get(flag, True):
            rows.append(failed(title, f"records cannot be {word} by this user", _PERMISSION_SET))
        elif locked := [each for each in wanted if each in fields and not fields[each].get(flag)]:
            text = f"{_listed(locked)}: cannot be {_set(word)} by this user"
            rows.append(failed(title, text, _PERMISSION_SET))
    if lacking := [each for each in needs.useful if each not in fields]:
        text = f"{_listed(lacking)}: missing, so that F&O's values are not shown"
        rows.append(warning(title, text, _PERMISSION_SET))
    if rows:
        return rows
    counts = [(len(needs.read), "read"), (len(needs.create), "set on creation")]
    counts += [(len(needs.update), "changed")]
    return [ok(title, ", ".join(f"{count} {word}" for count, word in counts if count))]


def _set(word: str) -> str:
    return "set on creation" if word == "created" else word


def judge_key(need: KeyNeed, described: Described) -> list[Check]:
    """Nothing for a field that is missing: the row of the object's fields says so."""
    title, field = f"{need.object}.{need.field}", described.fields.get(need.field)
    if field is None:
        return []
    lacks = []
    if need.external and not field.get("externalId"):
        lacks.append("no External ID")
    if not field.get("unique"):
        lacks.append("not unique")
    length = int(field.get("length") or 0)
    if length < need.length:
        lacks.append(f"{length} characters long, {need.length} are needed")
    if lacks:
        step = f"set this on the field {need.field} (salesforce/ holds the right one)"
        return [failed(title, f"is {', '.join(lacks)}", step)]
    if need.cased and not field.get("caseSensitive"):
        text = "ignores case, so that item numbers that differ in case alone are one product"
        return [warning(title, text, "set Unique to case sensitive on the field")]
    words = [*(["External ID"] if need.external else []), "unique"]
    return [ok(title, f"{', '.join(words)}, {length} characters")]


def judge_features(account: Described, table: MappingTable) -> Check:
    """What the org has switched on, and whether the mapping can do without the rest."""
    names = account.fields
    several = "CurrencyIsoCode" in names
    found = ["several currencies" if several else "one currency"]
    found.append(f"state and country {'picklists' if 'BillingCountryCode' in names else 'texts'}")
    found += ["person accounts"] if "IsPersonAccount" in names else []
    text = ", ".join(found)
    for rule in table.rules:
        if _lacks_source(rule, table, names):
            step = f"give {rule.target} a default in the mapping file (docs/mapping.md)"
            return failed("features", f"{text}: nothing fills {rule.target}", step)
    return ok("features", text)


def _lacks_source(rule: FieldRule, table: MappingTable, names: Collection[str]) -> bool:
    """A field that every creation needs, and that only a feature of the org would fill."""
    demanded = rule.is_written and rule.required and rule.transform.uses_source
    if not demanded or rule.transform.fills or not table.optional_sources.issuperset(rule.sources):
        return False
    if rule.condition is not None and not any(name in names for name in rule.condition.reads):
        return False  # there are no such records
    return not any(name in names for name in rule.sources)


def judge_organisation(org_id: str, allowed: Collection[str]) -> Check:
    title = "allowed organisation"
    if not allowed:
        text = "SALESFORCE_ORG_IDS is not set, so that no Outbound Message is accepted"
        return warning(title, text, f"set it to {org_id}, unless signed JSON is the only route")
    if org_id in {to_18(each) for each in allowed}:
        return ok(title, f"{org_id} is in SALESFORCE_ORG_IDS")
    text = f"{org_id} is not in SALESFORCE_ORG_IDS: its events are refused with 403"
    return failed(title, text, f"add {org_id}, or sign in to the right organisation")


def judge_instance(url: str) -> Check:
    """Addresses of single instances go away; a My Domain stays (Salesforce contract 1.1)."""
    host = urlsplit(url).netloc
    if host.endswith(".salesforce.com") and not host.endswith(".my.salesforce.com"):
        step = "deploy a My Domain in Salesforce and use it as SALESFORCE_LOGIN_URL"
        return warning("instance", f"{host} is no My Domain", step)
    return ok("instance", host)


def judge_version(versions: Iterable[Mapping[str, Any]], wanted: str) -> Check:
    known = [str(each["version"]) for each in versions]
    newest = max(known, key=_number, default="none")
    if wanted in known:
        return ok("API version", f"{wanted}; the newest is {newest}")
    step = f"set SALESFORCE_API_VERSION to one between {min(known, key=_number, default='?')} and {newest}"
    return failed("API version", f"{wanted} is not supported", step)


def _number(version: str) -> float:
    return float(version)


def judge_limits(limits: Mapping[str, Any]) -> list[Check]:
    rows, calls = [], ""
    for name in _LIMITS:
        entry = limits.get(name)
        if not isinstance(entry, dict) or not entry.get("Max"):
            continue
        left, most = int(entry["Remaining"]), int(entry["Max"])
        text = f"{name}: {left:,} of {most:,} left"
        calls = calls or text
        if left < LOW * most:
            step = "see who uses it (Setup > System Overview); docs/runbook.md#salesforce-budget"
            rows.append(warning("limits", text, step))
    return rows or [ok("limits", calls or "none of the app's limits is named")]


def judge_budget(budget: ApiBudget | None) -> Check:
    """What every answer tells, for a user who may not read the limits."""
    if budget is None:
        return not_checked("limits", "not told to this user")
    left = budget.left
    text = f"API calls: {left:,} of {budget.limit:,} left"
    if left < LOW * budget.limit:
        step = "see who uses it (Setup > System Overview); docs/runbook.md#salesforce-budget"
        return warning("limits", text, step)
    return ok("limits", text)


def judge_books(rows: Sequence[Mapping[str, Any]], wanted: Iterable[str]) -> list[Check]:
    """`rows` of Pricebook2; `wanted` are names of the mapping file, beside the standard price book."""
    found = Counter(str(row["Name"]).strip().casefold() for row in rows if not row["IsStandard"])
    asleep = {str(row["Name"]).strip().casefold() for row in rows if not row.get("IsActive")}
    checks = []
    if not any(row["IsStandard"] for row in rows):
        step = "activate the standard price book once in Setup"
        checks.append(failed("price book", "the standard price book is not shown", step))
    names = list(wanted)
    for name in names:
        key = name.strip().casefold()
        if found[key] != 1:
            what = f"{name!r} {'is missing' if not found[key] else 'exists several times'}"
            step = (
                "create or rename it in Salesforce, or correct [prices.books] of the mapping file"
            )
            checks.append(failed("price book", what, step))
        elif key in asleep:
            text = f"{name!r} is not active: nobody can sell by it"
            checks.append(warning("price book", text, "activate it in Salesforce"))
    return checks or [ok("price book", f"standard{''.join(f', {name}' for name in names)}")]


def judge_user(row: Mapping[str, Any]) -> Check:
    """Whether the user can be a person: then its changes would be taken for the app's own."""
    profile = row.get("Profile")
    api_only = profile.get("PermissionsApiUserOnly") if isinstance(profile, dict) else None
    if api_only is False:
        return warning(
            "integration user",
            "may sign in as a person; what a person changes with it is taken for an echo",
            "give it the profile Minimum Access - API Only Integrations (docs/setup-salesforce.md)",
        )
    if api_only is None:
        step = "see its profile in Setup > Users: API Only User must be on"
        return not_checked("integration user", "its profile cannot be read by itself", step)
    return ok("integration user", "API only")


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = len(ordered) - _NAMED
    return ", ".join(ordered[:_NAMED]) + (f" and {more} more" if more > 0 else "")
