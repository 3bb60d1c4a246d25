"""The edges of ecg-monitor: sources, pipeline, alarms, bus, journal, recorder, dashboard, command line."""
