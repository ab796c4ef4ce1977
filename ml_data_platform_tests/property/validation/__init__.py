"""Properties of validation over generated rows."""
