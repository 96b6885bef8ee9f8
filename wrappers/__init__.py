"""Gymnasium wrappers that record what happens in an environment: videos and episode statistics."""
