"""What an event is: schemas, versions, contracts, reading, lateness and planning; pure."""
