"""What people open in a browser: the demo, and a gallery of predictions."""
