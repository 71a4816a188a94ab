"""From a trained model to a SavedModel that takes photo bytes, and what reads one."""
