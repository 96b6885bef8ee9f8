"""From a request to a finished training."""
