"""The edges of ecg-monitor: sources, pipeline, alarms, bus, journal, recorder, dashboard, command line."""

VERSION = "0.1.0"
