"""Deleting what is of no use any more."""

from __future__ import annotations

from ocrlabel.pipeline.world import World

_AT_ONCE = 500


async def delete_below(world: World, prefix: str) -> None:
    """Delete every object whose key starts with the prefix."""
    keys = [stored.key async for stored in world.store.list(prefix)]
    for start in range(0, len(keys), _AT_ONCE):
        await world.store.delete(keys[start : start + _AT_ONCE])
