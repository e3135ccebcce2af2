"""What we tell others: an outbox that any room writes to, delivered as signed webhooks with retries."""
