"""Which photos a served model decodes: formats and their largest sizes in, no code out.

Imports no TensorFlow: the graph and the client that feeds it go by the same numbers.
"""

# Pixels at most, by Pillow's name of the format. A header of 40 bytes can claim a picture that
# fills the memory. A PNG is laid on white in float32, which takes about 40 bytes a pixel; a JPEG
# takes 3 to 9. Training sees JPEG and PNG alone: conversion makes JPEGs of everything else.
MAX_PIXELS = {"JPEG": 64_000_000, "PNG": 16_000_000}
