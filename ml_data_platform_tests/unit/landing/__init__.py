"""Tests of reading and landing files."""
