"""Alarms in the formats of other systems: pure functions, a message of the bus in, a document out."""
