"""Experiment trackers that a training's curves go to, beside TensorBoard's files."""
