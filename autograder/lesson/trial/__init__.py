"""Runs lessons in forks of a warm process, to see that right answers pass and that all others fail."""
