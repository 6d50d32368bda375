"""Flow 1 backwards: what F&O owns of a customer reaches its account, and changes settle in one round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from integration.salesforce.ids import to_18
from tests.end_to_end import receivables
from tests.end_to_end.world import DOWN

if TYPE_CHECKING:
    from tests.end_to_end.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def data_events(world: World) -> None:
    """F&O tells of customers, of the app's own writes too."""
    await receivables.events(world, data_events=True, own_changes=True, form="flat")


async def edit(world: World, number: str, **fields: Any) -> None:
    """A person changes a customer in F&O."""
    row = await customer(world, number)
    kept = {name: value for name, value in row.items() if not name.startswith("@")}
    await world.add_customer(**{**kept, **fields})


async def customer(world: World, number: str) -> dict[str, Any]:
    rows = await world._rows("d365", "CustomersV3", filter_=f"CustomerAccount eq '{number}'")
    (row,) = [row for row in rows if row["dataAreaId"] == "usmf"]
    return row


async def accounts_of(world: World, number: str) -> list[dict[str, Any]]:
    return await world._rows("salesforce", "Account", D365_Customer_Number__c=number)


async def test_fields_of_dynamics_reach_the_account(world: World) -> None:
    key = await world.create_settled()
    fields = {
        "CreditLimit": 1250.5,
        "PaymentTerms": "Net30",
        "OnHoldStatus": "Invoice",
        "CustomerGroupId": "30",
    }
    await world.change_customer(key, **fields)
    await world.settled()
    account = await world.account(key)
    assert account["D365_Credit_Limit__c"] == 1250.5
    assert account["D365_Payment_Terms__c"] == "Net30"
    assert account["D365_On_Hold__c"] == "Invoice"
    assert account["D365_Customer_Group__c"] == "30"
    assert account["D365_Company__c"] == "usmf"


async def test_a_change_in_dynamics_settles_in_one_round(world: World) -> None:
    key = await world.create_settled()
    await world.settled()
    world.forget_calls()
    before = world.totals()["accepted"]
    await world.change_customer(key, CreditLimit=77)
    await world.settled()
    rows = world.salesforce.rows_to_salesforce()
    assert rows == [{"id": key, "D365_Credit_Limit__c": 77}]
    assert world.d365.writes_to_d365() == []
    assert world.totals()["accepted"] - before <= 2  # the bucket of its number, and the account's
    assert world.d365.reads_of_customers() <= 2
    world.forget_calls()
    await world.tell(key)  # Salesforce tells of what the app wrote
    await world.settled()
    assert world.d365.reads_of_customers() == 1
    assert world.d365.writes_to_d365() == []
    assert world.salesforce.rows_to_salesforce() == []


async def test_a_change_in_salesforce_settles_in_one_round(world: World) -> None:
    key = await world.create_settled()
    await world.settled()
    world.forget_calls()
    before = world.totals()["accepted"]
    await world.change(key, Phone="+49 8041 7070")
    await world.settled()
    assert [w.values for w in world.d365.writes_to_d365()] == [
        {"PrimaryContactPhone": "+49 8041 7070"}
    ]
    assert world.salesforce.rows_to_salesforce() == []
    # The account, then F&O telling of the customer: in the bucket of its number, and the account's.
    assert 2 <= world.totals()["accepted"] - before <= 3


async def test_a_customer_of_dynamics_alone_is_left_alone(world: World) -> None:
    number = await receivables.customer(world)
    world.forget_calls()
    await edit(world, number, CreditLimit=5)
    await world.settled()
    assert await accounts_of(world, number) == []
    assert world.salesforce.rows_to_salesforce() == []
    assert world.letters(f"usmf|{number}") == []


async def test_a_customer_with_an_id_is_never_taken_for_one_without_account(world: World) -> None:
    await world.run_with(CUSTOMERS_WITHOUT_ACCOUNT="create")
    gone = to_18("001Aa00000ZZZZZ")
    number = await receivables.customer(world, account=gone)
    await edit(world, number, CreditLimit=5)
    await world.settled()
    assert await accounts_of(world, number) == []
    assert (await customer(world, number))["SalesforceAccountId"] == gone


async def test_a_customer_is_linked_to_the_account_with_its_number(world: World) -> None:
    await world.run_with(CUSTOMERS_WITHOUT_ACCOUNT="create")
    key = await world.create(events=False, AccountNumber="LINK-1")
    fields = {
        "OrganizationName": (await world.account(key))["Name"],
        "CreditLimit": 10,
    }
    await receivables.customer(world, CustomerAccount="LINK-1", **fields)
    await world.settled()
    assert (await customer(world, "LINK-1"))["SalesforceAccountId"] == key
    account = await world.account(key)
    assert (account["D365_Customer_Number__c"], account["D365_Credit_Limit__c"]) == ("LINK-1", 10)
    assert len(await world.customers(key)) == 1


async def test_two_accounts_that_match_are_left_to_a_person(world: World) -> None:
    await world.run_with(CUSTOMERS_WITHOUT_ACCOUNT="create")
    keys = [await world.create(events=False, AccountNumber="TWICE-1") for _ in range(2)]
    await receivables.customer(world, CustomerAccount="TWICE-1")
    await world.settled()
    letter = world.letter("usmf|TWICE-1")
    assert (letter["kind"], letter["reason"]) == ("review", "several-accounts")
    assert all(key in letter["description"] for key in keys)


async def test_a_customer_without_account_gets_one_and_only_one(world: World) -> None:
    await world.run_with(CUSTOMERS_WITHOUT_ACCOUNT="create")
    await receivables.customer(
        world,
        CustomerAccount="NEW-1",
        OrganizationName="Isartaler Kontor",
        AddressStreet="Am Markt 1\n2. Stock",
        AddressCity="Lenggries",
        AddressZipCode="83661",
        AddressState="BY",
        AddressCountryRegionId="DEU",
        AddressCountryRegionISOCode="DE",
        PrimaryContactPhone="+49 8042 1",
        CreditLimit=900,
    )
    await world.settled()
    (account,) = await accounts_of(world, "NEW-1")
    row = await customer(world, "NEW-1")
    assert row["SalesforceAccountId"] == account["Id"]
    assert account["Name"] == "Isartaler Kontor"
    assert account["BillingStreet"].replace("\r\n", "\n") == "Am Markt 1\n2. Stock"
    assert (account["BillingState"], account["BillingCountry"]) == ("BY", "Germany")
    assert (account["CurrencyIsoCode"], account["D365_Credit_Limit__c"]) == ("USD", 900)
    assert row["AddressState"] == "BY"  # nothing was taken away by the way back
    world.forget_calls()
    await edit(world, "NEW-1", PaymentTerms="Net30")
    await world.settled()
    assert len(await accounts_of(world, "NEW-1")) == 1
    assert world.d365.writes_to_d365() == []


async def test_a_lost_answer_to_the_link_makes_no_second_account(world: World) -> None:
    await world.run_with(CUSTOMERS_WITHOUT_ACCOUNT="create")
    batch = {"method": "PATCH", "path": "CustomersV3"}
    await world.fault("d365", match=batch, inner=True, count=2, status=DOWN["status"])
    await receivables.customer(world, CustomerAccount="NEW-2", OrganizationName="Zweite Wahl")
    await world.settled()
    (account,) = await accounts_of(world, "NEW-2")
    assert (await customer(world, "NEW-2"))["SalesforceAccountId"] == account["Id"]


async def test_a_person_gets_no_account(world: World) -> None:
    await world.run_with(CUSTOMERS_WITHOUT_ACCOUNT="create")
    await receivables.customer(world, CustomerAccount="NEW-3", PartyType="Person")
    await world.settled()
    assert world.letter("usmf|NEW-3")["reason"] == "person-customer"


async def test_forty_changed_customers_cost_a_handful_of_calls(world: World) -> None:
    await world.run_with()
    keys = await world.create_many(40, events=False)
    await world.tell(*keys)
    await world.settled()
    rows = [row for key in keys for row in await world.customers(key)]
    await world.fault("d365", match={"method": "GET"}, latency_ms=150, count=None)
    world.forget_calls()
    changed = [
        {name: value for name, value in row.items() if not name.startswith("@")}
        | {"CreditLimit": 321}
        for row in rows
    ]
    await world.put("d365", "state/CustomersV3", changed, method="POST")
    await world.settled()
    for key in keys:
        assert (await world.account(key))["D365_Credit_Limit__c"] == 321
    assert len(world.d365.calls) + len(world.salesforce.calls) <= 120  # three events each are 480
