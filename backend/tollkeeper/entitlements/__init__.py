"""What a customer may use: balances, verdicts for the gateway and their feed, nodes that report."""
