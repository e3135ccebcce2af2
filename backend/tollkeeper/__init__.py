"""Usage-based billing for Kong Gateway: the backend.

    cli, demo, app, config     start here: commands, the zero-to-hero story, composition, settings
    web, jobs                  the two doors: HTTP and time
    payments                   Stripe
    invoices                   draft, finalize, number, prove
    entitlements               balances, limits, verdicts for the gateway
    usage                      totals per customer, feature and period
    subscriptions, metering    a customer's plan over time; events in
    catalog, customers         what we sell; who pays
    kong, access               what Kong knows; who may call us
    rating, storage            pure price arithmetic; the database
    clock, money, errors       the ground floor

A room imports only rooms below it; docs/architecture.md has the reasons.
"""
