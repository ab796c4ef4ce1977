"""Tests of the command line: arguments, messages and exit statuses."""
