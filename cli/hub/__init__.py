"""Models on the Hugging Face hub, through its own library."""
