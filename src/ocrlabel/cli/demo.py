"""In the making."""


def demo() -> None:
    """In the making."""
