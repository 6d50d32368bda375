"""Contact → contact person: whose person a contact is, and what is left to a person."""

import pytest

from integration.d365.batch import OperationResult
from integration.d365.errors import RecordExists
from integration.errors import (
    CreatePending,
    OutcomeUnknown,
    RecordNeedsReview,
    RecordRejected,
    Throttled,
)
from integration.flows.engine import converge
from integration.flows.outcomes import Moved, Skipped, Synced, WouldChange
from integration.salesforce.errors import DuplicateRecord
from tests.unit.account_support import BUCKET
from tests.unit.contact_support import (
    ID,
    NUMBER,
    NUMBER_FIELD,
    PARTY,
    A,
    B,
    C,
    ContactWorld,
    D,
    E,
    contact_id,
)
from tests.unit.flow_support import error_of

CHANGED, UNCHANGED = Synced(changed=True), Synced(changed=False)


@pytest.fixture
def world() -> ContactWorld:
    world = ContactWorld()
    world.account()
    return world


async def test_a_contact_becomes_a_contact_person_of_its_customer(world: ContactWorld) -> None:
    world.contact(Email="ann@acme.example", Title="CEO", MailingCountry="Germany")
    assert await world.run(C) == {C: CHANGED}
    [person] = world.d365.persons()
    assert (person["dataAreaId"], person[PARTY], person[ID]) == ("usmf", "P-US-1", C)
    assert (person["FirstName"], person["LastName"]) == ("Ann", "Lee")
    assert person["PrimaryAddressCountryRegionId"] == "DEU"
    assert world.number_of(C) == person[NUMBER] == "CON-000001"


async def test_doing_it_again_writes_nothing(world: ContactWorld) -> None:
    world.contact()
    await world.run(C)
    world.d365.calls.clear()
    world.salesforce.calls.clear()
    assert await world.run(C) == {C: UNCHANGED}
    assert (world.d365.calls, world.salesforce.calls) == ({"read": 2}, {"retrieve": 1})


async def test_only_what_differs_is_written(world: ContactWorld) -> None:
    contact = world.contact(Email="ann@acme.example", Title="CEO")
    await world.run(C)
    contact.update(Title=None, Email="lee@acme.example")
    assert await world.run(C) == {C: CHANGED}
    [person] = world.d365.persons()
    assert (person["EmploymentJobTitle"], person["PrimaryEmailAddress"]) == ("", "lee@acme.example")
    assert person["FirstName"] == "Ann"


async def test_a_contact_without_account_is_skipped(world: ContactWorld) -> None:
    world.contact(AccountId=None)
    assert await world.run(C) == {C: Skipped("no-account")}
    assert world.d365.calls == {}


async def test_a_contact_in_the_bucket_of_its_own_id_is_sent_to_that_of_its_account(
    world: ContactWorld,
) -> None:
    world.contact()
    outcomes = await converge(world.flow, {C: BUCKET}, owns=lambda root, bucket: False)
    assert outcomes == {C: Moved(A, C)}
    assert world.d365.calls == {}


async def test_a_hundred_contacts_of_known_customers_cost_five_calls(world: ContactWorld) -> None:
    keys = [contact_id(number) for number in range(100)]
    for number, key in enumerate(keys):
        world.contact(key, f"Lee {number}", Email=f"lee{number}@acme.example")
    assert set((await world.run(*keys)).values()) == {CHANGED}
    assert world.d365.calls == {"read": 2, "write": 1}
    assert world.salesforce.calls == {"retrieve": 1, "update": 1}
    assert len(world.d365.persons()) == 100
    assert max(text.count(" eq ") for text in world.d365.filters) <= 20


# The customer


async def test_a_missing_customer_is_made_first() -> None:
    world = ContactWorld()
    world.salesforce.add("Account", A, Name="Acme", CurrencyIsoCode="EUR")
    world.contact()
    world.contact(D, "Doe")
    assert await world.run(C, D) == {C: CHANGED, D: CHANGED}
    [customer] = world.d365.tables["CustomersV3"]
    assert customer["SalesforceAccountId"] == A
    assert {person[PARTY] for person in world.d365.persons()} == {customer["PartyNumber"]}
    account = world.salesforce.tables["Account"][A]
    assert account["D365_Customer_Number__c"] == customer["CustomerAccount"]


async def test_a_customer_that_the_account_names_is_linked_first() -> None:
    world = ContactWorld()
    world.d365.add_customer("OLD-1", OrganizationName="Acme")
    world.salesforce.add(
        "Account", A, Name="Acme", CurrencyIsoCode="EUR", D365_Customer_Number__c="OLD-1"
    )
    world.contact()
    assert await world.run(C) == {C: CHANGED}
    assert [person[PARTY] for person in world.d365.persons()] == ["P-OLD-1"]


async def test_without_customer_creation_the_contact_is_skipped_for_that_reason() -> None:
    world = ContactWorld(CUSTOMER_CREATION="off")
    world.salesforce.add("Account", A, Name="Acme", CurrencyIsoCode="EUR")
    world.contact()
    outcome = (await world.run(C))[C]
    assert outcome == Skipped("customer-creation-off", f"account {A}")
    assert world.d365.persons() == []


async def test_a_rejected_account_is_told_with_its_own_words() -> None:
    world = ContactWorld()
    world.salesforce.add("Account", A, Name="Acme", BillingCountry="Atlantis")
    world.contact()
    error = error_of((await world.run(C))[C])
    assert isinstance(error, RecordRejected)
    assert error.reason == "account-mapping"
    assert "Atlantis" in error.description


async def test_an_account_that_needs_a_person_holds_its_contacts_back(world: ContactWorld) -> None:
    world.d365.add_customer("US-2", A)
    world.contact()
    error = error_of((await world.run(C))[C])
    assert isinstance(error, RecordNeedsReview)
    assert error.reason == "several-customers"


async def test_trouble_while_making_the_customer_stays_what_it_is() -> None:
    world = ContactWorld()
    world.salesforce.add("Account", A, Name="Acme", CurrencyIsoCode="EUR")
    world.contact()
    slow = Throttled("slow", system="d365")
    world.d365.errors[A] = OperationResult(429, error=slow)
    assert error_of((await world.run(C))[C]) is slow


@pytest.mark.parametrize("switch", ["dry", "off"])
async def test_the_switch_of_the_account_flow_counts_for_contacts_too(switch: str) -> None:
    world = ContactWorld(FLOW_ACCOUNTS=switch)
    world.salesforce.add("Account", A, Name="Acme", CurrencyIsoCode="EUR")
    world.contact()
    assert error_of((await world.run(C))[C]).reason == "account-flow-off"
    assert world.d365.tables["CustomersV3"] == []


async def test_the_dry_run_makes_no_customer() -> None:
    world = ContactWorld()
    world.salesforce.add("Account", A, Name="Acme", CurrencyIsoCode="EUR")
    world.contact()
    outcome = (await world.run(C, dry=True))[C]
    assert isinstance(outcome, WouldChange)
    assert outcome.operation == "create"
    assert world.d365.calls["write"] == 0


async def test_a_contact_that_moved_to_another_account_keeps_its_person(
    world: ContactWorld,
) -> None:
    world.account(B, "Other")
    contact = world.contact()
    await world.run(C)
    contact["AccountId"] = B
    error = error_of((await world.run(C))[C])
    assert isinstance(error, RecordNeedsReview)
    assert error.reason == "moved-to-other-customer"
    assert "US-2" in error.description
    assert [person[PARTY] for person in world.d365.persons()] == ["P-US-1"]


async def test_a_contact_that_moved_to_an_account_without_customer_makes_none(
    world: ContactWorld,
) -> None:
    world.salesforce.add("Account", B, Name="New", CurrencyIsoCode="EUR")
    contact = world.contact()
    await world.run(C)
    contact["AccountId"] = B
    assert error_of((await world.run(C))[C]).reason == "moved-to-other-customer"
    assert len(world.d365.tables["CustomersV3"]) == 1


# The person


async def test_a_person_that_the_contact_names_is_linked(world: ContactWorld) -> None:
    world.d365.add_person("OLD-7", "P-US-1", LastName="Lee", FirstName="A.")
    world.contact(**{NUMBER_FIELD: "OLD-7"})
    assert await world.run(C) == {C: CHANGED}
    [person] = world.d365.persons()
    assert (person[ID], person["FirstName"]) == (C, "Ann")


@pytest.mark.parametrize(
    ("person", "reason"),
    [
        (None, "contact-person-gone"),
        (("P-US-1", D), "number-of-other-contact"),
        (("P-OTHER", ""), "moved-to-other-customer"),
    ],
)
async def test_a_named_person_that_does_not_fit_is_left_to_people(
    world: ContactWorld, person: tuple[str, str] | None, reason: str
) -> None:
    if person:
        world.d365.add_person("OLD-7", *person)
    world.contact(**{NUMBER_FIELD: "OLD-7"})
    error = error_of((await world.run(C))[C])
    assert isinstance(error, RecordNeedsReview)
    assert error.reason == reason
    assert len(world.d365.persons()) == bool(person)


async def test_two_persons_with_the_id_of_one_contact_are_left_to_people(
    world: ContactWorld,
) -> None:
    for number in ("1", "2"):
        world.d365.add_person(number, "P-US-1", C)
    world.contact()
    assert error_of((await world.run(C))[C]).reason == "several-contact-persons"


async def test_a_star_in_a_number_rejects_that_contact_alone(world: ContactWorld) -> None:
    world.contact(**{NUMBER_FIELD: "CON*"})
    world.contact(D, "Doe")
    outcomes = await world.run(C, D)
    assert error_of(outcomes[C]).reason == "wildcard"
    assert outcomes[D] == CHANGED


async def test_with_several_companies_the_number_carries_its_own() -> None:
    world = ContactWorld('[companies]\ndefault = "usmf"\n[companies.by_country]\nDE = "demf"\n')
    world.account()
    world.contact()
    await world.run(C)
    assert world.number_of(C) == "usmf|CON-000001"
    assert await world.run(C) == {C: UNCHANGED}


async def test_a_number_counts_in_its_company_only() -> None:
    world = ContactWorld('[companies]\ndefault = "usmf"\n[companies.by_country]\nDE = "demf"\n')
    world.account()
    world.d365.add_person("7", "P-DE-1", dataAreaId="demf")
    mine = world.d365.add_person("7", "P-US-1")
    world.contact(**{NUMBER_FIELD: "usmf|7"})
    assert await world.run(C) == {C: CHANGED}
    assert mine[ID] == C


async def test_a_number_that_another_contact_holds_is_left_to_people(world: ContactWorld) -> None:
    world.contact()
    world.salesforce.row_errors[C] = DuplicateRecord("holds it", system="salesforce")
    assert error_of((await world.run(C))[C]).reason == "number-on-other-contact"


async def test_a_deleted_contact_leaves_its_person_and_a_merged_one_is_its_winner(
    world: ContactWorld,
) -> None:
    world.salesforce.gone = {C: {}, D: {"MasterRecordId": E}}
    outcomes = await world.run(C, D)
    assert outcomes == {C: Skipped("deleted-in-salesforce"), D: Moved(E, E)}


async def test_the_contact_of_a_person_account_is_skipped(world: ContactWorld) -> None:
    world.salesforce.fields["Contact"] = (*world.salesforce.fields["Contact"], "IsPersonAccount")
    world.contact(IsPersonAccount=True)
    assert await world.run(C) == {C: Skipped("person-account")}


async def test_fields_of_f_and_o_go_back_with_the_number() -> None:
    world = ContactWorld(
        '[contacts.fields.IsVIP]\nsource = "Vip__c"\ntransform = "no_yes"\nowner = "d365"\n'
    )
    world.salesforce.fields["Contact"] = (*world.salesforce.fields["Contact"], "Vip__c")
    world.account()
    world.d365.add_person("1", "P-US-1", C, FirstName="Ann", LastName="Lee", IsVIP="Yes")
    contact = world.contact(Vip__c=False)
    await world.run(C)
    assert (contact["Vip__c"], contact[NUMBER_FIELD]) == (True, "1")


# Duplicates


@pytest.mark.parametrize(
    ("known", "values"),
    [
        ({"PrimaryEmailAddress": "Ann@Acme.example"}, {"Email": "ann@acme.example"}),
        (
            {"FirstName": "Ann", "LastName": "LEE", "PrimaryPhoneNumber": "+49 1"},
            {"Phone": "+49 1", "Email": "other@acme.example"},
        ),
        ({"FirstName": "Ann", "LastName": "Lee"}, {}),
        ({"FirstName": "Ann", "LastName": "Lee", "PrimaryEmailAddress": "a@acme.example"}, {}),
    ],
)
@pytest.mark.parametrize("owner", ["", D])
async def test_a_person_that_is_there_already_is_not_made_twice(
    world: ContactWorld, known: dict[str, str], values: dict[str, str], owner: str
) -> None:
    world.d365.add_person("OLD-7", "P-US-1", owner, **known)
    world.contact(**values)
    found = Skipped("duplicate-contact", "contact person OLD-7 in usmf")
    assert await world.run(C) == {C: found}
    assert len(world.d365.persons()) == 1
    assert world.number_of(C) is None


@pytest.mark.parametrize(
    ("party", "known", "values"),
    [
        ("P-OTHER", {"PrimaryEmailAddress": "ann@acme.example"}, {"Email": "ann@acme.example"}),
        ("P-US-1", {"FirstName": "Bob", "LastName": "Lee"}, {}),
        ("P-US-1", {"LastName": "Lee", "PrimaryEmailAddress": ""}, {"Email": None}),
        (
            "P-US-1",
            {"FirstName": "Ann", "LastName": "Lee", "PrimaryEmailAddress": "a@acme.example"},
            {"Email": "b@acme.example"},
        ),
        ("P-US-1", {"FirstName": "Ann", "LastName": "Lee", "PrimaryPhoneNumber": "1"}, {}),
    ],
)
async def test_a_person_that_only_resembles_another_is_made(
    world: ContactWorld, party: str, known: dict[str, str], values: dict[str, str]
) -> None:
    world.d365.add_person("OLD-7", party, **known)
    world.contact(**values)
    assert await world.run(C) == {C: CHANGED}
    assert len(world.d365.persons()) == 2


async def test_a_star_in_a_name_hides_no_duplicate(world: ContactWorld) -> None:
    world.d365.add_person("OLD-7", "P-US-1", FirstName="Ann", LastName="Lee*")
    world.contact(last="Lee*")
    assert isinstance((await world.run(C))[C], Skipped)
    assert not any("*" in text for text in world.d365.filters)


async def test_of_two_contacts_of_one_person_in_a_batch_one_is_made(world: ContactWorld) -> None:
    world.contact(Email="ann@acme.example")
    world.contact(D, "Lee-Doe", Email="ann@acme.example")
    assert await world.run(C, D) == {
        C: CHANGED,
        D: Skipped("duplicate-contact", "contact person CON-000001 in usmf"),
    }


async def test_what_f_and_o_refuses_as_existing_is_skipped_with_the_one_it_names(
    world: ContactWorld,
) -> None:
    for number in ("OLD-7", "OLD-77"):
        world.d365.add_person(number, "P-US-1", LastName="Other")
    world.contact()
    refusal = RecordExists("Contact: OLD-77. The record already exists.", system="d365")
    world.d365.errors[C] = OperationResult(400, error=refusal)
    found = Skipped("duplicate-contact", "contact person OLD-77 in usmf")
    assert await world.run(C) == {C: found}


async def test_a_refusal_that_means_the_contacts_own_person_is_no_duplicate(
    world: ContactWorld,
) -> None:
    world.contact()
    refusal = RecordExists("The record already exists.", system="d365")
    world.d365.errors[C] = OperationResult(400, error=refusal)
    own = {"FirstName": "Ann", "LastName": "Lee", "IsPrimaryPhoneNumberMobile": "No"}
    world.d365.meanwhile.append(lambda: world.d365.add_person("CON-9", "P-US-1", C, **own))
    assert await world.run(C) == {C: CHANGED}
    assert world.number_of(C) == "CON-9"


async def test_a_change_that_f_and_o_refuses_as_existing_is_rejected(world: ContactWorld) -> None:
    contact = world.contact()
    await world.run(C)
    contact["Email"] = "taken@acme.example"
    refusal = RecordExists("The record already exists.", system="d365")
    world.d365.errors["CON-000001"] = OperationResult(400, error=refusal)
    error = error_of((await world.run(C))[C])
    assert isinstance(error, RecordRejected)
    assert error.reason == "duplicate-contact"


# Once


async def test_a_create_without_answer_is_not_repeated_before_the_quarantine_is_over(
    world: ContactWorld,
) -> None:
    world.contact()
    world.d365.no_answer = OutcomeUnknown("no answer", system="d365")
    assert isinstance(error_of((await world.run(C))[C]), CreatePending)
    assert C.encode() in world.store.documents[f"intents/contacts/{BUCKET}.json"].body
    world.d365.no_answer = None
    world.wait(14)
    assert isinstance(error_of((await world.run(C))[C]), CreatePending)
    world.wait(1)
    assert await world.run(C) == {C: CHANGED}
    assert len(world.d365.persons()) == 1


async def test_a_create_that_happened_without_answer_is_found(world: ContactWorld) -> None:
    world.contact()
    world.d365.no_answer, world.d365.commits = OutcomeUnknown("no answer", system="d365"), True
    await world.run(C)
    world.d365.no_answer = None
    assert await world.run(C) == {C: CHANGED}
    assert len(world.d365.persons()) == 1
    assert world.number_of(C) == "CON-000001"
