"""What is wrong with runs, in words."""
