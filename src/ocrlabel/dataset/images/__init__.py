"""From an image's bytes to what an engine is given: identified, checked, upright."""
