"""From a trained model to numbers with intervals and pictures."""
