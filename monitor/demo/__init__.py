"""The live demo as static files: recordings judged by the monitor, the model, and a page that runs it in the browser."""
