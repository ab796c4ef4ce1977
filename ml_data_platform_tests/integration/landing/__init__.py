"""Tests of landing files into a root."""
