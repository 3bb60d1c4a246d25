"""From a fit to an ONNX file."""
