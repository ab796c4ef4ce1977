"""Great Expectations, and only here: the rules as data and the one place that runs them."""
