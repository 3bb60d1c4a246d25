"""The monitor in a browser: a process of its own, a subscriber of one or several monitors."""
