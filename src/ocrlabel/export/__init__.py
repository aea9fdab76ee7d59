"""Labels tables out to the formats that training and labelling tools read, and back again."""
