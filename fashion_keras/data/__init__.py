"""From a catalogue of photos to batches: catalogue, splits, records, pipeline."""
