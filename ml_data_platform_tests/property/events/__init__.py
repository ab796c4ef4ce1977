"""Tests of what an event is."""
