"""Account → customer: which customer an account has, and what is left to a person."""

import pytest

from integration.errors import IntegrationError, RecordNeedsReview, RecordRejected, Unreachable
from integration.flows.outcomes import Failed, Moved, Outcome, Skipped, Synced, WouldChange
from integration.salesforce.errors import DuplicateRecord
from tests.unit.account_support import COMPANY, ID, NUMBER, NUMBER_FIELD, A, B, C, World, account_id
from tests.unit.flow_support import COMPANIES

CHANGED, UNCHANGED = Synced(changed=True), Synced(changed=False)


@pytest.fixture
def world() -> World:
    return World()


def reason_of(outcome: Outcome) -> str:
    assert isinstance(outcome, Failed), outcome
    assert isinstance(outcome.error, IntegrationError), outcome
    return outcome.error.reason


async def test_an_account_without_customer_gets_one_and_its_number(world: World) -> None:
    world.salesforce.add(A, "Acme", BillingCity="Hamburg", BillingCountry="Germany")
    assert await world.run(A) == {A: CHANGED}
    [customer] = world.d365.customers
    assert (customer[COMPANY], customer[ID], customer[NUMBER]) == ("usmf", A, "US-000001")
    assert customer["OrganizationName"] == "Acme"
    assert customer["AddressCountryRegionId"] == "DEU"
    assert customer["CustomerGroupId"] == "10"
    assert world.number_of(A) == "US-000001"


async def test_doing_it_again_writes_nothing(world: World) -> None:
    world.salesforce.add(A)
    await world.run(A)
    world.d365.batches.clear()
    assert await world.run(A) == {A: UNCHANGED}
    assert world.d365.batches == []


async def test_only_the_difference_is_written_and_only_to_the_version_that_was_read(
    world: World,
) -> None:
    world.salesforce.add(A, "Acme Ltd", Phone="+49 40 1", **{NUMBER_FIELD: "US-9"})
    world.d365.add("US-9", A, PrimaryContactPhone="+49 40 1")
    assert await world.run(A) == {A: CHANGED}
    [[update]] = world.d365.batches
    assert (update.method, update.body, update.etag) == (
        "PATCH",
        {"OrganizationName": "Acme Ltd"},
        'W/"1"',
    )


async def test_a_customer_is_found_whatever_the_case_of_its_id_and_company(world: World) -> None:
    world.salesforce.add(A)
    world.d365.add("US-9", A.lower(), **{COMPANY: "USMF"})
    await world.run(A)
    assert len(world.d365.customers) == 1
    assert world.number_of(A) == "US-9"


async def test_two_hundred_accounts_cost_a_handful_of_calls(world: World) -> None:
    keys = [account_id(number) for number in range(200)]
    for key in keys:
        world.salesforce.add(key)
    assert set((await world.run(*keys)).values()) == {CHANGED}
    assert len(world.d365.customers) == 200
    assert len(world.d365.batches) <= 3


async def test_several_customers_of_one_account_are_left_to_a_person(world: World) -> None:
    world.salesforce.add(A)
    world.d365.add("US-1", A)
    world.d365.add("DE-1", A, **{COMPANY: "demf"})
    assert reason_of((await world.run(A))[A]) == "several-customers"
    assert world.d365.batches == []


async def test_a_customer_in_another_company_than_the_rule_says_is_left_to_a_person() -> None:
    world = World(COMPANIES)
    world.salesforce.add(A, BillingCountry="Germany")
    world.d365.add("US-1", A)
    assert reason_of((await world.run(A))[A]) == "other-company"


async def test_so_is_one_that_the_account_names_by_company_and_number() -> None:
    world = World(COMPANIES)
    world.salesforce.add(A, BillingCountry="Germany", **{NUMBER_FIELD: "usmf|US-1"})
    world.d365.add("US-1")
    assert reason_of((await world.run(A))[A]) == "other-company"
    assert world.d365.customers[0][ID] == ""


async def test_a_number_of_another_accounts_customer_is_left_to_a_person(world: World) -> None:
    world.salesforce.add(A, **{NUMBER_FIELD: "US-1"})
    world.d365.add("US-1", B)
    assert reason_of((await world.run(A))[A]) == "number-of-other-account"


async def test_a_customer_that_is_gone_is_never_silently_made_anew(world: World) -> None:
    world.salesforce.add(A, **{NUMBER_FIELD: "US-1"})
    assert reason_of((await world.run(A))[A]) == "customer-gone"
    assert world.d365.customers == []


async def test_an_unlinked_customer_that_the_account_names_is_linked(world: World) -> None:
    world.salesforce.add(A, **{NUMBER_FIELD: "us-1"})
    row = world.d365.add("US-1")
    assert await world.run(A) == {A: CHANGED}
    assert row[ID] == A
    assert world.number_of(A) == "US-1"


async def test_a_linked_customer_wins_over_a_number_and_corrects_it(world: World) -> None:
    world.salesforce.add(A, **{NUMBER_FIELD: "US-2"})
    world.d365.add("US-1", A)
    world.d365.add("US-2")
    assert await world.run(A) == {A: CHANGED}
    assert world.number_of(A) == "US-1"


@pytest.mark.parametrize(
    ("creation", "reason"),
    [("off", "customer-creation-off"), ("after-match", "customer-awaits-match")],
)
async def test_creation_can_be_switched_off_and_updates_go_on(creation: str, reason: str) -> None:
    world = World(CUSTOMER_CREATION=creation)
    world.salesforce.add(A)
    world.salesforce.add(B, "Bolt")
    world.d365.add("US-2", B)
    assert await world.run(A, B) == {A: Skipped(reason), B: CHANGED}
    assert [row["OrganizationName"] for row in world.d365.customers] == ["Bolt"]


async def test_with_several_companies_the_number_carries_its_company() -> None:
    world = World(COMPANIES)
    world.salesforce.add(A, BillingCountry="Germany")
    world.salesforce.add(B, BillingCountry="US")
    await world.run(A, B)
    assert world.number_of(A) == "demf|US-000001"
    assert world.number_of(B) == "usmf|US-000002"
    assert await world.run(A, B) == {A: UNCHANGED, B: UNCHANGED}


async def test_the_same_number_in_two_companies_means_two_customers() -> None:
    world = World(COMPANIES)
    world.salesforce.add(A, BillingCountry="Germany", **{NUMBER_FIELD: "demf|1000"})
    theirs = world.d365.add("1000", B)
    mine = world.d365.add("1000", **{COMPANY: "demf"})
    assert await world.run(A) == {A: CHANGED}
    assert (theirs[ID], mine[ID]) == (B, A)


async def test_deleted_and_merged_accounts_are_told_apart(world: World) -> None:
    world.salesforce.gone = {A: {}, B: {"MasterRecordId": C}}
    never = "001Aa0000000099IAA"
    assert await world.run(A, B, never) == {
        A: Skipped("deleted-in-salesforce"),
        B: Moved(C, C),
        never: Skipped("not-found"),
    }


async def test_a_key_that_is_no_id_disturbs_nobody(world: World) -> None:
    world.salesforce.add(A)
    assert await world.run(A, "nonsense") == {A: CHANGED, "nonsense": Skipped("not-found")}
    assert world.salesforce.queries == []


async def test_when_the_deleted_cannot_be_asked_for_the_others_go_on(world: World) -> None:
    world.salesforce.add(A)
    error = world.salesforce.query_error = Unreachable("down", system="salesforce")
    assert await world.run(A, B) == {A: CHANGED, B: Failed(error)}


async def test_an_account_that_cannot_be_mapped_is_rejected_alone(world: World) -> None:
    world.salesforce.add(A, BillingCountry="Atlantis")
    world.salesforce.add(B)
    outcomes = await world.run(A, B)
    assert reason_of(outcomes[A]) == "mapping"
    assert outcomes[B] == CHANGED


async def test_a_number_that_another_account_holds_is_left_to_a_person(world: World) -> None:
    world.salesforce.add(A)
    world.salesforce.row_errors[A] = DuplicateRecord("duplicate", reason="DUPLICATE_VALUE")
    assert reason_of((await world.run(A))[A]) == "number-on-other-account"


async def test_a_failed_write_back_is_made_good_by_the_next_try(world: World) -> None:
    world.salesforce.add(A)
    world.salesforce.row_errors[A] = RecordRejected("validation rule", reason="FIELD_CUSTOM")
    assert reason_of((await world.run(A))[A]) == "FIELD_CUSTOM"
    world.salesforce.row_errors.clear()
    assert await world.run(A) == {A: CHANGED}
    assert len(world.d365.customers) == 1
    assert world.number_of(A) == "US-000001"


async def test_a_dry_run_shows_the_creation_and_writes_nothing(world: World) -> None:
    world.salesforce.add(A)
    outcome = (await world.run(A, dry=True))[A]
    assert isinstance(outcome, WouldChange)
    assert outcome.operation == "create"
    assert world.d365.customers == []
    assert world.intents() == set()


async def test_reviews_carry_words_for_a_person(world: World) -> None:
    world.salesforce.add(A, **{NUMBER_FIELD: "US-1"})
    outcome = (await world.run(A))[A]
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, RecordNeedsReview)
    assert "US-1" in outcome.error.description
    assert f"clear {NUMBER_FIELD}" in outcome.error.description


async def test_what_only_a_creation_needs_does_not_stop_an_update(world: World) -> None:
    world.salesforce.add(A, "Old", CurrencyIsoCode=None)
    world.d365.add("C1", account=A, OrganizationName="Older")
    outcomes = await world.run(A)
    assert outcomes == {A: Synced(changed=True)}
    assert world.d365.customers[0]["OrganizationName"] == "Old"


async def test_a_creation_without_a_currency_is_rejected_by_name(world: World) -> None:
    world.salesforce.add(A, "New", CurrencyIsoCode=None)
    [outcome] = (await world.run(A)).values()
    assert isinstance(outcome, Failed)
    assert "SalesCurrencyCode" in str(outcome.error)
