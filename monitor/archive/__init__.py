"""Archives: whole records scored as fast as the machine can, each into a folder of its own."""
