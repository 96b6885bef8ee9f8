"""Films of a run beside those that it makes while it trains."""
