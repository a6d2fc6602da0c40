"""What serves others: the node's daemon and the adapters through which engines and people ask it."""
