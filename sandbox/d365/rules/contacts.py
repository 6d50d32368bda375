"""Contact persons hang on the party of a customer (F&O contract 5.3)."""

from __future__ import annotations

from sandbox.d365.errors import field_refused, write_failed
from sandbox.d365.rules.addresses import iso_code, require_state
from sandbox.d365.rules.base import Rules, Write
from sandbox.d365.rules.customers import name_of

CUSTOMERS = "CustomersV3"


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
        write.set("PrimaryAddressCountryRegionISOCode", iso_code(write, country))
        if write.changed("PrimaryAddressStateId", "PrimaryAddressCountryRegionId"):
            require_state(write, "PrimaryAddressStateId", country)
        write.set("LastEditDateTime", write.environment.now())
        if write.environment.settings.contact_duplicate_check:
            self._refuse_duplicate(write)

    def validate_write(self, write: Write) -> list[str]:
        named = write.get("ContactPersonName")
        return [] if named else ["Field 'Name' must be filled in."]

    @staticmethod
    def _check_party(write: Write) -> None:
        number = write.get("AssociatedPartyNumber")
        customers = write.environment.store.tables[CUSTOMERS]
        found = customers.find("PartyNumber", number) if number else []
        if found:
            values = {**customers.entity.defaults, **found[0].values}
            write.set("ContactForParty", name_of(values))
        elif number:
            reason = (
                f"The value '{number}' in field 'Contact for' is not found in the related table"
                " 'Global address book'."
            )
            raise field_refused(write.entity.aot_name, "AssociatedPartyNumber", reason)

    @staticmethod
    def _refuse_duplicate(write: Write) -> None:
        """The duplicate rule of a tenant: one contact per e-mail address and party."""
        email = write.get("PrimaryEmailAddress")
        if not email or not write.changed("PrimaryEmailAddress"):
            return
        table = write.environment.store.table(write.entity)
        for row in table.find("PrimaryEmailAddress", email):
            same_party = row.values.get("AssociatedPartyNumber") == write.get(
                "AssociatedPartyNumber"
            )
            if row is not write.old and same_party:
                reason = (
                    f"Error: Cannot create a record in {write.entity.table_label}. Contact:"
                    f" {row.values['ContactPersonId']}, {email}. The record already exists."
                )
                status = write.environment.settings.duplicate_status
                raise write_failed(write.entity.aot_name, [reason], status)
