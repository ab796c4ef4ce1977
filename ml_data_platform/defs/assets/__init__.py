"""The assets: one file each, named after the table it writes."""
