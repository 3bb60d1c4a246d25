"""Terminal dashboard: folds bus messages into a state and draws it."""
