"""Datasets in and labels out: sources, images, tables, and pushing a dataset to a bucket."""
