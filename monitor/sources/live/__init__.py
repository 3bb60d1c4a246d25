"""Live streams: standard input, ZeroMQ, LSL, BrainFlow."""
