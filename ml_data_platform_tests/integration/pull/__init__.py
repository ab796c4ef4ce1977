"""Pull sources against real servers."""
