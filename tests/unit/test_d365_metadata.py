"""What the client learns about an environment."""

from __future__ import annotations

import pytest

from integration.d365.metadata import Metadata
from integration.errors import (
    ContractError,
    Misconfigured,
)
from tests.unit.test_d365_support import (
    FakeServer,
    client_for,
    reply,
)


async def test_entity_metadata_is_read_once_and_typed():
    row = {"TypeName": "Edm.String", "AllowEdit": False, "AllowEditOnCreate": True}
    entity = {
        "Name": "CustomerV3",
        "EntitySetName": "CustomersV3",
        "IsReadOnly": False,
        "Properties": [
            row | {"Name": "dataAreaId", "IsKey": True, "IsMandatory": True},
            row | {"Name": "CustomerAccount", "IsKey": True, "IsMandatory": False},
            row | {"Name": "CustomerGroupId", "IsKey": False, "IsMandatory": True},
        ],
    }
    server = FakeServer(reply(200, entity))
    with client_for(server) as client:
        metadata = Metadata(client)
        info = await metadata.entity_info("CustomerV3")
        assert await metadata.entity_info("CustomerV3") is info
    assert server.urls == ["/metadata/PublicEntities('CustomerV3')"]
    assert (info.entity_set, info.read_only) == ("CustomersV3", False)
    assert info.keys == ("dataAreaId", "CustomerAccount")
    group = info.properties["CustomerGroupId"]
    assert (group.type, group.mandatory, group.allow_edit) == ("Edm.String", True, False)


async def test_an_unknown_entity_is_a_configuration_problem():
    with (
        client_for(FakeServer(reply(404))) as client,
        pytest.raises(Misconfigured, match="CustomerV9"),
    ):
        await Metadata(client).entity_info("CustomerV9")
    with client_for(FakeServer(reply(200, {"Name": "X"}))) as client, pytest.raises(ContractError):
        await Metadata(client).entity_info("X")


async def test_the_application_version_is_asked_by_its_action():
    server = FakeServer(reply(503), reply(200, {"value": "10.0.41.2"}))
    with client_for(server) as client:
        assert await Metadata(client).application_version() == "10.0.41.2"
    assert (
        "DataManagementEntities/Microsoft.Dynamics.DataEntities.GetApplicationVersion"
        in (server.urls[0])
    )
