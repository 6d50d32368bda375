"""Contacts become contact persons of their accounts' customers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.demo.scene import Scene
from sandbox.salesforce.generate import generate_accounts
from sandbox.verification.contacts import contact_differences

if TYPE_CHECKING:
    from sandbox.demo.stage import Row, Stage

_PEOPLE = (
    ("Jörg", "Weiß", "Einkaufsleiter", "Einkauf"),
    ("Zoë", "O'Brien", "Head of Purchasing", "Purchasing"),
    ("Łukasz", "Wójcik", "Kierownik", "Zakupy"),
    ("Anne-Marie", "de la Tour d'Auvergne-Lauragais", "Directrice des achats", "Achats"),
    ("Nguyễn", "Thị Minh", "Buyer", None),
    ("Søren", "Åkerström", None, "Inköp"),
    ("Hans", "Müller", "Werkstattleiter", "Werkstatt"),
    ("Mary", "Smith", "CFO", "Finance"),
)


class ContactScene(Scene):
    title = "contacts"
    trigger = "Salesforce JSON events"
    flows = ("contacts",)

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._barred: list[str] = []

    async def run(self) -> None:
        stage = self.stage
        await stage.sandbox.subscribe("Account", "Contact", "Opportunity", kind="json")
        accounts = {row["Id"]: row for row in await stage.rows("salesforce", "Account")}
        chosen = [accounts[key] for key in stage.dice.sample(stage.accounts, 4)]
        # One whose account nobody has told of: its customer is made first.
        [new] = await stage.insert("Account", *generate_accounts(1, stage.seed + 1), events=False)
        stage.accounts.append(new)
        chosen.append({row["Id"]: row for row in await stage.rows("salesforce", "Account")}[new])
        good = [self._contact(number, chosen[number % 5]) for number in range(8)]
        good[4] = {**good[4], "Phone": None, "MobilePhone": "+49 170 1234567"}
        known = self._contact(8, chosen[0])
        await self._add_person(chosen[0]["Id"], known)
        homeless = {**self._contact(9, chosen[1]), "AccountId": None}
        atlantean = {**self._contact(10, chosen[1]), "MailingCountry": "Atlantis"}
        keys = await stage.insert("Contact", *good, known, homeless, atlantean)
        self._barred = keys[8:]
        stage.letters[keys[10]] = ("failed", "mapping")
        await stage.settled()

    def _contact(self, number: int, account: Row) -> Row:
        first, last, title, department = _PEOPLE[number % len(_PEOPLE)]
        return {
            "AccountId": account["Id"],
            "FirstName": first,
            "LastName": last,
            "Email": f"person{number}@customer.example",
            "Phone": f"+49 89 {self.stage.dice.randrange(10**6):06d}",
            "Title": title,
            "Department": department,
            "MailingStreet": f"Marktstraße {number + 1}\nHinterhaus",
            "MailingCity": "Bad Tölz",
            "MailingPostalCode": "83646",
            "MailingCountry": "Germany",
        }

    async def _add_person(self, account: str, contact: Row) -> None:
        """As if somebody had made the same person in F&O."""
        row = {
            "dataAreaId": "usmf",
            "AssociatedPartyNumber": (await self.stage.customers())[account]["PartyNumber"],
            "LastName": "Known already",
            "ContactPersonName": "Known already",
            "PrimaryEmailAddress": contact["Email"].upper(),
        }
        await self.stage.d365("POST", "state/ContactPersons", row)

    async def problems(self) -> list[str]:
        found = await contact_differences(self.stage.sandbox, without=self._barred)
        return found + self.counted(records=11, synced=8, skipped=2, dead_letters=1)
