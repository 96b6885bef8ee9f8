"""One thin file per command: it parses, and calls a plain function."""
