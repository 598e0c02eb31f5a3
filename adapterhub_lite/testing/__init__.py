"""For those who test: tiny random models of every family in the anatomy table."""
