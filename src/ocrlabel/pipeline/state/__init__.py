"""What a run keeps in its store: keys, plan, journal, checkpoints."""
