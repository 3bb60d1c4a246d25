"""Studies of `tools/study.py`: annotated records through the whole monitor. Nothing of the product imports it."""
