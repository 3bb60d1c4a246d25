"""Mechanisms that the commands of `tools/` share. Nothing of the product imports it."""
