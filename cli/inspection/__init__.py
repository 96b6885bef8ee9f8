"""What a file or run folder holds, in plain words."""
