"""What validation teaches after training: a decision, its layer and its fitting."""
