"""A running `dev`, seen as its users see it: over GraphQL, the command line and a browser."""
