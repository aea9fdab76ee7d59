"""Requests per second and pages per minute, shared by all workers of a key."""
