"""Offline, torch: the model, its data, its training, its evaluation and its export to ONNX."""
