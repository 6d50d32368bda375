"""Flows, permission sets, actions and list views of the org package name only what is there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from integration.flows import order_status, orders
from integration.mapping import payments
from sandbox.salesforce.schema import Schema
from tests.contract.salesforce_package import ROOT, SOURCE, apex, custom_fields, metadata, one

if TYPE_CHECKING:
    from tests.contract.salesforce_package import Metadata


def problems_of(flow: Metadata) -> list[str]:
    """Everything a flow refers to that is not there."""
    elements = [*flow.texts("*/name"), *flow.texts("screens/fields/name")]
    references = [*flow.texts(".//targetReference"), *flow.texts(".//elementReference")]
    found = [f"no element {name}" for name in references if name not in elements]
    messages = [
        f"{each.name}.{name}"
        for each in metadata("workflows/*.xml")
        for name in each.texts("outboundMessages/fullName")
    ]
    variables = set(
        re.findall(r"@InvocableVariable[^;]*? (\w+)(?: = \w+)?;", apex("D365StockCheck"))
    )
    for call in flow.root.findall("actionCalls"):
        action, kind = call.findtext("actionName", ""), call.findtext("actionType")
        there = (
            action in messages if kind == "outboundMessage" else "@InvocableMethod" in apex(action)
        )
        found += [] if there else [f"no action {action}"]
        inputs = {each.text for each in call.findall("inputParameters/name")}
        found += [f"{action} has no {name}" for name in inputs - variables]
    texts = " ".join(element.text or "" for element in flow.root.iter())
    record = Schema().find(flow.text("start/object"))
    for scope, rest in re.findall(r"\$(Setup|Permission|Record|Record__Prior)\.([\w.]+)", texts):
        there = {
            "Setup": rest in custom_fields(),
            "Permission": (SOURCE / f"customPermissions/{rest}.customPermission-meta.xml").exists(),
        }.get(scope, bool(record and record.find(rest)))
        found += [] if there else [f"no {scope} {rest}"]
    outputs = re.findall(r"\{!(\w+)\.(\w+)\}", texts)
    return found + [f"no {a}.{b}" for a, b in outputs if a not in elements or b not in variables]


@pytest.mark.parametrize("flow", metadata("flows/*.xml"), ids=lambda flow: flow.name)
def test_a_flow_refers_to_what_exists(flow: Metadata) -> None:
    assert flow.text("status") == "Active"
    assert problems_of(flow) == []


def test_flows_of_records_only_decide_and_send_so_that_200_cost_no_query() -> None:
    for flow in metadata("flows/D365_*_Changed.flow-meta.xml"):
        steps = {each.tag for each in flow.root if each.find("locationX") is not None}
        assert steps == {"start", "decisions", "actionCalls"}, flow.name
        assert flow.texts("actionCalls/actionType") == ["outboundMessage"]


def test_apex_names_fields_objects_and_credentials_that_exist() -> None:
    known = {name.split(".")[1] for name in custom_fields()} | {
        each.name for each in metadata("objects/*/*.object-meta.xml")
    }
    credentials = {each.name for each in metadata("namedCredentials/*.xml")}
    for path in (*SOURCE.glob("classes/*.cls"), *SOURCE.glob("triggers/*.trigger")):
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"\b[A-Za-z]\w*?__[ce]\b", text)) <= known, path.name
        assert set(re.findall(r"'callout:(\w+)", text)) <= credentials, path.name


def test_everything_the_permission_sets_open_exists() -> None:
    names = {each.name for each in metadata("**/*.xml")}
    principals = {
        f"{each.name}-{group}"
        for each in metadata("externalCredentials/*.xml")
        for group in each.texts(
            "externalCredentialParameters[parameterType='NamedPrincipal']/parameterGroup"
        )
    }
    for each in metadata("permissionsets/*.xml"):
        opened = [
            *each.texts("classAccesses/apexClass"), *each.texts("flowAccesses/flow"),
            *each.texts("customPermissions/name"), *each.texts("tabSettings/tab"),
        ]  # fmt: skip
        assert set(opened) <= names, each.name
        opened = each.texts("externalCredentialPrincipalAccesses/externalCredentialPrincipal")
        assert set(opened) <= principals, each.name
    action = one("quickActions/*.xml")
    assert (action.name, action.text("flowDefinition")) == (
        "Product2.D365_Check_Stock",
        "D365_Check_Stock",
    )


def test_list_views_show_fields_that_exist() -> None:
    for view in metadata("objects/*/listViews/*.xml"):
        shown = [
            name
            for name in (*view.texts("columns"), *view.texts("filters/field"))
            if name.endswith("__c")
        ]
        assert {f"{view.object}.{name}" for name in shown} <= set(custom_fields()), view.name


def test_list_views_filter_by_the_words_the_app_writes() -> None:
    unpaid = one("objects/Invoice__c/listViews/Unpaid.*").text("filters/value")
    assert unpaid.split(",") == list(payments.UNPAID)
    waiting = one("objects/Opportunity/listViews/*").text("filters/value")
    assert waiting.split(",") == [orders.REVIEW, order_status.FAILED]


def test_the_guide_names_what_is_in_the_package() -> None:
    guide = (ROOT / "docs" / "setup-salesforce.md").read_text(encoding="utf-8")
    names = {each.name for each in metadata("**/*.xml")}
    fields = {name.split(".")[1] for name in custom_fields()}
    named = set(re.findall(r"\bD365_?[A-Z][a-z]\w*", guide))
    assert {"D365_Integration_User", "D365StockCheckTest"} <= named
    assert named <= names | fields
    tests = {path.stem for path in SOURCE.glob("classes/*Test.cls")}
    assert set(re.findall(r"--tests (\w+)", guide)) == tests
    sets = {each.text("label") for each in metadata("permissionsets/*.xml")}
    assert sets <= set(re.findall(r"\*(D365 [\w ]+)\*", guide))
