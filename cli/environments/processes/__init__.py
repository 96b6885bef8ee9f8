"""Envs in processes of their own: how they are made there, asked, and brought to an end."""
