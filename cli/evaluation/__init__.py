"""Playing a checkpoint and reporting its returns."""
