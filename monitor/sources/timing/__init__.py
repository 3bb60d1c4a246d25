"""Sample indices and times from counters, time stamps and arrivals."""
