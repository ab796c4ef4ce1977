"""Sources with personal data: what the platform keeps of them, and what it does not."""
