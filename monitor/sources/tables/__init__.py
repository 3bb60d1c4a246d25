"""Tables of numbers as text: one reader for csv:PATH, standard input and text over ZeroMQ. Pure."""
