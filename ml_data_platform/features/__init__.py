"""Events become features: the column catalog, the SQL that computes them, and its dialects."""
