"""Which worker works on which slice, and when another one may take it over."""
