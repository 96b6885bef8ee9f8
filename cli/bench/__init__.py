"""Speed, measured beside SB3's and the arithmetic floor."""
