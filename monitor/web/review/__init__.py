"""The page on which a person goes through the alarms and anomalous beats of a recording."""
