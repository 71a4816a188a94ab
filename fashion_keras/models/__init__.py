"""Backbones, and the classifier that puts heads on them."""
