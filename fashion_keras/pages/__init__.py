"""What people open in a browser: the demo, and a gallery of predictions."""

MAX_BYTES = 32 * 2**20  # of a photo that is sent to the page
