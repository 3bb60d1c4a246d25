"""What `tools/bench.py` measures, one module a question. Nothing of the product imports it."""
