"""What `tools/bus_faults.py` is made of. Nothing of the product imports it."""
