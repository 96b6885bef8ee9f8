"""What is remembered: transitions as records, how they are sampled, and how they reach the disk."""
