"""One image from its row to its outcome: read, asked for, tried again, answered."""
