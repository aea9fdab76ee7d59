"""Pages with known text, made here, so that anybody can see how much of them is read right."""
