"""Features become training partitions: folds, label files, and what proves them fair."""
