"""A page about runs: one HTML file that opens from the disk."""
