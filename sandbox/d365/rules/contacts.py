"""Contact persons hang on the party of a customer (F&O contract 5.3)."""

from __future__ import annotations

from sandbox.d365.errors import field_refused
from sandbox.d365.rules.base import Rules, Write


class ContactRules(Rules):
    def default_row(self, write: Write) -> None:
        store = write.environment.store
        if write.old is None:
            self._check_party(write)
            if not write.get("ContactPersonPartyNumber"):
                write.set("ContactPersonPartyNumber", f"{store.next_number('', 'party'):09}")
        parts = (write.get(name) for name in ("FirstName", "MiddleName", "LastName"))
        name = " ".join(filter(None, parts))
        if write.changed("FirstName", "MiddleName", "LastName") and name:
            write.set("ContactPersonName", name)
            write.set_unless_given("SearchName", name[:20])
        country = write.get("PrimaryAddressCountryRegionId")
        known = store.get("AddressCountryRegions", country) if country else None
        code = known.values.get("ISOcode", "") if known else ""
        write.set("PrimaryAddressCountryRegionISOCode", code)
        write.set("LastEditDateTime", write.environment.now())

    def validate_write(self, write: Write) -> list[str]:
        named = write.get("ContactPersonName")
        return [] if named else ["Field 'Name' must be filled in."]

    @staticmethod
    def _check_party(write: Write) -> None:
        number = write.get("AssociatedPartyNumber")
        customers = write.environment.store.tables["CustomersV3"]
        found = customers.find("PartyNumber", number) if number else []
        if found:
            write.set("ContactForParty", found[0].values.get("OrganizationName", ""))
        elif number:
            reason = (
                f"The value '{number}' in field 'Contact for' is not found in the related table"
                " 'Global address book'."
            )
            raise field_refused(write.entity.aot_name, "AssociatedPartyNumber", reason)
