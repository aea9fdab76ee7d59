"""In the making."""


def push() -> None:
    """In the making."""
