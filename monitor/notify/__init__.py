"""Notifications: alarms to programs outside. Each receiver has a thread with a subscriber of its own."""
