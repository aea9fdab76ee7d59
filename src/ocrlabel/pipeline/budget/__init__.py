"""Attempts written down before they are paid for, and the cap that none may exceed."""
