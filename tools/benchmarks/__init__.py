"""Benchmarks of `tools/bench.py`, one module a question. Nothing of the product imports it."""
