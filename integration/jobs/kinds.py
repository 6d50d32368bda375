"""The kinds of jobs, apart from their code, so that whoever starts one need not load it."""

PRICES = "prices"
PAYMENTS = "payments"
RECONCILE = "reconcile"
CATCH_UP = "catch-up"
LOAD_ACCOUNTS = "load-accounts"
LOAD_CONTACTS = "load-contacts"
WATCH = "watch"
