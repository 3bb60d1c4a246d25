"""Parts of `tools/bus_faults.py` and `tools/soak.py`. Nothing of the product imports it."""
