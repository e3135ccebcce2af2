"""Documents: gather what is due, draft, number, issue, void; and prove every line of them."""
