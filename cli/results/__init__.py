"""Finished and unfinished runs of ours and of others: found, read, compared, drawn."""
