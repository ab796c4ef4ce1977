"""Versions in real git and DVC repositories."""
