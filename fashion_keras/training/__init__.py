"""From batches to a trained model: metrics, losses, callbacks, the trainer."""
