"""What goes wrong inside of a training."""
