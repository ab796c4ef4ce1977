"""Tests of the command line over real roots."""
