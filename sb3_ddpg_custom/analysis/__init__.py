"""Comparing trainings: scores with intervals, what may be concluded from them, and figures."""
