"""The job `prices` with everything it needs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from integration.d365.package_api import PackageApi
from integration.d365.package_export import PackageExport
from integration.flows.price_rules import PriceRules
from integration.flows.pricebook_writer import CollectionsPriceTarget
from integration.flows.prices import PriceJob
from integration.flows.pricing.exporting import Exporting
from integration.flows.pricing.reading import Reading
from integration.flows.products import ODataPriceSource
from integration.jobs.kinds import PRICES
from integration.mapping.products import ProductMapping
from integration.salesforce.bulk_load import BulkLoad
from integration.state.pushed import PushedTable

if TYPE_CHECKING:
    from integration.d365.client import D365Client
    from integration.mapping.customisation import Customisation
    from integration.salesforce.client import SalesforceClient
    from integration.settings import Settings
    from integration.state.blobs import BlobState


def build_price_job(
    settings: Settings,
    customisation: Customisation,
    salesforce: SalesforceClient,
    d365: D365Client,
    state: BlobState,
) -> PriceJob:
    app, prices, volume = settings.app, customisation.prices, settings.volume
    rules = PriceRules(prices, settings.d365.company)
    products = ProductMapping(prices)
    odata = ODataPriceSource(
        d365,
        rules.companies,
        products.source_fields(),
        sales_stop=prices.sales_stop,
        page=volume.d365_page,
    )
    exporting = Exporting(state, PackageExport(PackageApi(d365), state, volume))
    return PriceJob(
        state,
        Reading(
            state,
            PushedTable(state, PRICES),
            d365,
            odata,
            exporting,
            volume,
            settings.d365,
            prices,
        ),
        CollectionsPriceTarget(
            salesforce,
            [rule.book for rule in rules.rules],
            products.target_fields(),
            dry=app.flow_prices == "dry",
        ),
        BulkLoad(salesforce, state, volume),
        prices,
        rules,
        volume=volume,
        switch=app.flow_prices,
        rows=app.prices_rows,
        full_every=timedelta(days=app.prices_full_refresh_days),
    )
