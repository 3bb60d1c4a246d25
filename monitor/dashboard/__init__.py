"""The terminal dashboard: a subscriber that folds bus messages into a state and draws it."""
