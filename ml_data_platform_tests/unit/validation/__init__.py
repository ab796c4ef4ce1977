"""Tests of the rules as data; Great Expectations is not imported."""
