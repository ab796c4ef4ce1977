"""Properties of the whole flow under random schedules."""
