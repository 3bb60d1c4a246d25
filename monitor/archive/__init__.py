"""Archives: score whole records as fast as the machine can, each into a folder of its own."""
