"""Policies as files for elsewhere."""
