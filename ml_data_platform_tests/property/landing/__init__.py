"""Properties of reading landed files."""
