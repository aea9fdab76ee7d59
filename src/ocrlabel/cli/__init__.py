"""The `ocrlabel` command, a module a group of commands; heavy imports stay inside commands."""
