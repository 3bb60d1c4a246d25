"""What `tools/soak.py` is made of. Nothing of the product imports it."""
