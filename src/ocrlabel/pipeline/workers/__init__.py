"""Who works on a run: heartbeats, and limits that can be changed while it runs."""
