"""From records, and runs trained on them, to what is doubtful in the data."""
