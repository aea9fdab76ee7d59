"""How right labels are: against truth, against a second engine, and what to keep of them.

Values in, values out; pages stream through, so memory does not grow with their number.
"""
