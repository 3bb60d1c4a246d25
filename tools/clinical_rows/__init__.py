"""Situations of a bedside as signals with a verdict, for `tools/clinical.py`. Nothing of the product imports it."""
