"""Bytes and tables: paths, immutable objects, the commit log, the ledger and the query engine."""
