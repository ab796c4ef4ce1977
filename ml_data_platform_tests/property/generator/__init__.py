"""Properties of the generator."""
