"""OCR engines: an image in, pages of words out, each with its own rules, price and errors."""
