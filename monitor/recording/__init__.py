"""Files of a session, valid after a kill."""
