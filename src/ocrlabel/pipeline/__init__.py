"""The run: which image is asked for when, by whom and at whose cost, and what is kept of it."""
