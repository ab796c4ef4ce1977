"""Tests of the rules as Great Expectations evaluates them."""
