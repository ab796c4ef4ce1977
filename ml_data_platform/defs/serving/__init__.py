"""What `dev` runs: the web server behind its guard, the daemon, the code server, and the process that minds them."""
