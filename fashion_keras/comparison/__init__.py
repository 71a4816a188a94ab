"""From several runs' stored evaluations to paired differences with intervals."""
