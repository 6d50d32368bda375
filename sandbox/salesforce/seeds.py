"""The rows every org starts with: its own row, three users, stages, two price books."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.salesforce import clock

if TYPE_CHECKING:
    from sandbox.salesforce.org import Org

# label, closed, won, forecast category, probability
_STAGES = (
    ("Prospecting", False, False, "Pipeline", 10),
    ("Qualification", False, False, "Pipeline", 10),
    ("Needs Analysis", False, False, "Pipeline", 20),
    ("Proposal", False, False, "Pipeline", 75),
    ("Negotiation", False, False, "Forecast", 90),
    ("Closed Won", True, True, "Closed", 100),
    ("Closed Lost", True, False, "Omitted", 0),
)


@dataclass(frozen=True)
class Users:
    """Ids of the user the app logs in as, a person who edits records, and the administrator."""

    integration: str
    clerk: str
    admin: str


def plant(org: Org) -> Users:
    admin = _row(org, "User", None, **_user("admin@sandbox.example", "Ada", "Administrator"))
    api_only = _row(
        org, "Profile", admin, Name="Minimum Access - API Only Integrations",
        PermissionsApiUserOnly=True,
    )  # fmt: skip
    integration = _row(
        org,
        "User",
        admin,
        **_user("integration@sandbox.example", "Dynamics", "Integration"),
        ProfileId=api_only,
    )
    clerk = _row(org, "User", admin, **_user("clerk@sandbox.example", "Carla", "Clerk"))
    _row(
        org,
        "Organization",
        admin,
        Id=org.id,
        Name="Sandbox Industries",
        IsSandbox=True,
        InstanceName="LOCAL",
        OrganizationType="Developer Edition",
        LanguageLocaleKey="en_US",
        DefaultLocaleSidKey="de_DE",
        TimeZoneSidKey="Europe/Berlin",
        FiscalYearStartMonth=1,
    )
    for order, (label, closed, won, category, probability) in enumerate(_STAGES, 1):
        _row(
            org,
            "OpportunityStage",
            admin,
            MasterLabel=label,
            ApiName=label,
            IsActive=True,
            SortOrder=order,
            IsClosed=closed,
            IsWon=won,
            ForecastCategory=category,
            ForecastCategoryName=category,
            DefaultProbability=float(probability),
        )
    for name, standard in (("Standard Price Book", True), ("Direct Sales", False)):
        _row(org, "Pricebook2", admin, Name=name, IsActive=True, IsStandard=standard)
    org.store.commit()
    return Users(integration=integration, clerk=clerk, admin=admin)


def _user(username: str, first: str, last: str) -> dict[str, Any]:
    return {
        "Username": username,
        "Email": username,
        "FirstName": first,
        "LastName": last,
        "Name": f"{first} {last}",
        "Alias": last[:8].lower(),
        "UserType": "Standard",
        "IsActive": True,
    }


def _row(org: Org, object_name: str, user: str | None, **fields: Any) -> str:
    obj = org.schema.objects[object_name]
    moment = clock.now()
    record_id = str(fields.pop("Id", None) or org.ids.new(obj.prefix))
    by = user or record_id
    stamps = {
        "CreatedDate": moment,
        "CreatedById": by,
        "LastModifiedDate": moment,
        "LastModifiedById": by,
        "SystemModstamp": moment,
    }
    org.store.put(object_name, {"Id": record_id, **obj.defaults, **fields, **stamps})
    return record_id
