"""Attacks on a monitor: one module a kind, listed in `attacks.catalogue`."""
