"""The live demo as static files: judged recordings, the model, and a page that runs it in the browser."""
