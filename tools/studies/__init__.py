"""What the studies share that play records through a bed: the player, and the file of what was measured."""
