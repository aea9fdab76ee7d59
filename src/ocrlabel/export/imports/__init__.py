"""Corrections that people made in a labelling tool, back onto a labels table."""
