"""From an evaluation to what a person looks at: figures, the page, TensorBoard."""
