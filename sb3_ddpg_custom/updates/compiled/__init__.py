"""The update by hand as one function of machine code."""
