"""What the tests of mappings share: fields of several kinds, and the account mapping of a file."""

from integration.mapping.accounts import AccountMapping, account_mapping
from integration.mapping.customisation import load_customisation

FOUR_FIELDS = """[accounts.fields.CreditRating]
source = "Rating"
transform = "upper"
[accounts.fields.AnnualVolume]
source = "AnnualRevenue"
transform = "decimal(2)"
[accounts.fields.CustomerSince]
source = "Since__c"
transform = "date"
[accounts.fields.IsVip]
source = "Vip__c"
transform = "no_yes"
"""


def accounts_of(text: str) -> AccountMapping:
    """`text`: a mapping file."""
    return account_mapping(
        load_customisation(text),
        default_company="usmf",
        salesforce_id_field="SalesforceAccountId",
        customer_number_field="D365_Customer_Number__c",
    )
