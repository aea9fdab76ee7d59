"""All checkpoints become the labels table, the failures table and run.json."""
