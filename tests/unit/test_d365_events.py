"""Events of F&O: every form of the body, what each event names, and what is no event."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.d365.business_keys import CustomerKey, InvoiceKey
from integration.d365.event_body import read_time
from integration.d365.events import RecordChanged, read_event
from integration.errors import ContractError

POSTED = {
    "BusinessEventId": "SalesInvoicePostedBusinessEvent",
    "BusinessEventLegalEntity": "USMF",
    "ControlNumber": 5637150021,
    "EventId": "7F5C1D0E-1111-4A4A-9C3E-0B1E2F3A4B5C",
    "EventTime": "/Date(1785405435000)/",
    "EventTimeIso8601": "2026-07-30T09:57:15.1234567Z",
    "InvoiceAccount": "US-001",
    "InvoiceDate": "/Date(1785369600000)/",
    "InvoiceId": "CIV-000123",
    "LegalEntity": "usmf",
    "MajorVersion": 0,
    "ParentContextRecordSubjects": None,
    "SalesOrderId": "001234",
}
INVOICE = RecordChanged(
    object="SalesInvoice",
    key="usmf|sales|CIV-000123",
    company="usmf",
    root="usmf|sales|CIV-000123",
)
CUSTOMER = RecordChanged(object="Customer", key="usmf|US-001", company="usmf")


def body(data: object) -> bytes:
    return json.dumps(data).encode()


def pairs(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": value} for name, value in data.items()]


def data_event(
    message: str = "OnExternalUpdated",
    table: str = "mserp_custcustomerv3entity",
    fields: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    found = {"mserp_dataareaid": "USMF", "mserp_customeraccount": "US-001"}
    target = {
        "LogicalName": table,
        "Id": "00001a73-0000-0000-0100-000000000000",
        "Attributes": pairs(found if fields is None else fields),
    }
    return {
        "MessageName": message,
        "PrimaryEntityName": table,
        "PrimaryEntityId": "00001a73-0000-0000-0100-000000000000",
        "CorrelationId": "c0",
        "OperationCreatedOn": "/Date(1785405435000+0000)/",
        "InputParameters": [{"key": "Target", "value": target}],
        **more,
    }


CONTEXT = {"MessageName": "x", "PrimaryEntityName": "none", "InputParameters": []}


@pytest.mark.parametrize(
    "form",
    [
        body(POSTED),
        b"\xef\xbb\xbf" + body(POSTED),
        b"@\x06string\x083http://schemas.microsoft.com/2003/10/Serialization/\x9b\x7b\x02"
        + body(POSTED)
        + b"\x01",
        body(body(POSTED).decode()),
        body({**CONTEXT, **POSTED}),
        body({**CONTEXT, "InputParameters": pairs(POSTED)}),
        body({**CONTEXT, "InputParameters": [{"Key": "Event", "Value": POSTED}]}),
        body({**CONTEXT, "InputParameters": pairs({"Event": body(POSTED).decode()})}),
        body({**CONTEXT, "InputParameters": pairs({"Target": {"Attributes": pairs(POSTED)}})}),
        body({**CONTEXT, "SharedVariables": pairs(POSTED)}),
    ],
    ids=[
        "flat", "byte order mark", "data contract", "JSON text", "beside", "parameters",
        "one parameter", "text in a parameter", "attributes", "shared variables",
    ],
)  # fmt: skip
def test_a_posted_invoice_is_understood_in_every_form(form: bytes) -> None:
    event = read_event(form)
    assert event.changes == (INVOICE,)
    assert event.event_id == "7F5C1D0E-1111-4A4A-9C3E-0B1E2F3A4B5C"
    assert event.at == datetime(2026, 7, 30, 9, 57, 15, 123456, UTC)


def test_a_free_text_invoice_is_another_kind() -> None:
    event = read_event(
        body({**POSTED, "BusinessEventId": "CustFreeTextInvoicePostedBusinessEvent"})
    )
    (change,) = event.changes
    assert (change.object, change.key) == ("FreeTextInvoice", "usmf|freetext|CIV-000123")


def test_the_older_platform_names_the_company_in_the_event_alone() -> None:
    older = {name: value for name, value in POSTED.items() if name != "BusinessEventLegalEntity"}
    assert read_event(body(older)).changes == (INVOICE,)


@pytest.mark.parametrize("message", ["OnExternalCreated", "OnExternalUpdated", "OnExternalDeleted"])
def test_a_data_event_of_a_customer_names_it(message: str) -> None:
    event = read_event(body(data_event(message)))
    assert event.changes == (CUSTOMER,)
    assert event.at == datetime(2026, 7, 30, 9, 57, 15, tzinfo=UTC)


def test_wrapped_values_and_images_are_read() -> None:
    image = {"Attributes": pairs({"mserp_customeraccount": {"Value": "US-001"}})}
    event = data_event(
        fields={"mserp_DataAreaId": "usmf"}, PreEntityImages=[{"key": "PreImage", "value": image}]
    )
    assert read_event(body(event)).changes == (CUSTOMER,)


def test_a_data_event_of_an_invoice_knows_the_voucher_and_shares_the_bucket() -> None:
    fields = {
        "mserp_dataareaid": "usmf",
        "mserp_invoicenumber": "CIV-000123",
        "mserp_ledgervoucher": "ARP-1",
    }
    event = data_event("OnExternalCreated", "mserp_salesinvoiceheaderv2entity", fields)
    (change,) = read_event(body(event)).changes
    assert change.key == "usmf|sales|CIV-000123|ARP-1"
    assert change.root == INVOICE.root


def test_an_unknown_event_is_no_error() -> None:
    for data in (
        {**POSTED, "BusinessEventId": "CollectionStatusUpdatedBusinessEvent"},
        data_event(table="mserp_vendvendorv2entity"),
        data_event("Update"),
    ):
        event = read_event(body(data))
        assert not event.is_known
        assert event.event_id


def test_a_deletion_without_image_leaves_nothing_to_read() -> None:
    assert not read_event(body(data_event("OnExternalDeleted", fields={}))).is_known


def test_events_named_in_the_settings_are_about_prices_or_customers() -> None:
    event = body({**POSTED, "BusinessEventId": "PriceChangedBusinessEvent"})
    assert read_event(event, price_events={"PriceChangedBusinessEvent"}).prices
    table = "mserp_salespriceagreemententity"
    assert read_event(body(data_event(table=table)), price_events={table}).prices
    own = {"BusinessEventId": "CreditChangedBusinessEvent", "CustomerAccount": "US-001"}
    named = body({**own, "BusinessEventLegalEntity": "usmf", "ControlNumber": 7})
    event_of_own = read_event(named, customer_events={"CreditChangedBusinessEvent"})
    assert event_of_own.changes == (CUSTOMER,)
    assert event_of_own.event_id == "CreditChangedBusinessEvent/7"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"null", b"<xml/>", b"\xff\xfe{}", b"{}", b'{"a": 1}',
        body({**POSTED, "InvoiceId": ""}), body({**POSTED, "InvoiceId": 7}),
        body({**POSTED, "LegalEntity": "", "BusinessEventLegalEntity": None}),
        body(data_event(fields={"mserp_dataareaid": "usmf"})),
        body(data_event(InputParameters="nonsense")),
    ],
)  # fmt: skip
def test_what_is_no_event_or_names_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(ContractError):
        read_event(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
MEMBERS = ("InputParameters", "MessageName", "PrimaryEntityName", "BusinessEventId", "EventId")


@given(st.dictionaries(st.sampled_from([*POSTED, *MEMBERS]), json_values, max_size=6))
def test_nothing_but_a_contract_error_ever_comes_out(changes: dict[str, Any]) -> None:
    for base in (POSTED, data_event()):
        try:
            event = read_event(body({**base, **changes}))
        except ContractError:
            continue
        assert event.event_id
        for change in event.changes:
            change.key.encode()


@given(st.binary(max_size=60))
def test_bytes_never_surprise(data: bytes) -> None:
    with pytest.raises(ContractError):
        read_event(data)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2022-12-30T13:51:15.2942742Z", datetime(2022, 12, 30, 13, 51, 15, 294274, UTC)),
        ("/Date(1672408275000)/", datetime(2022, 12, 30, 13, 51, 15, tzinfo=UTC)),
        ("/Date(1672408275000+0100)/", datetime(2022, 12, 30, 13, 51, 15, tzinfo=UTC)),
        ("/Date(-2208988800000)/", None),
        ("/Date(999999999999999)/", None),
        ("2022-12-30T13:51:15", None),
        ("", None),
        (None, None),
    ],
)
def test_times(text: object, moment: datetime | None) -> None:
    assert read_time(text) == moment


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1) | st.none())
def test_keys_keep_their_parts(company: str, number: str, voucher: str | None) -> None:
    company = company.lower()
    key = InvoiceKey(company, "sales", number, voucher)
    assert InvoiceKey.parse(key.text) == InvoiceKey(company.lower(), "sales", number, voucher)
    assert InvoiceKey.parse(key.text).root == key.root
    customer = CustomerKey(company, number)
    assert CustomerKey.parse(customer.text) == customer


@pytest.mark.parametrize("text", ["", "usmf", "usmf|x|1", "usmf|sales|", "usmf|sales|1|2|3", "|1"])
def test_other_texts_are_no_keys(text: str) -> None:
    with pytest.raises(ContractError):
        InvoiceKey.parse(text)


def test_a_customer_key_has_two_parts() -> None:
    for text in ("", "usmf", "usmf|", "usmf|1|2"):
        with pytest.raises(ContractError):
            CustomerKey.parse(text)
