"""Where Dagster finds the platform's code, and the name it knows it by.

Belongs here: the two names. Does not belong here: Dagster, which the process that minds the services does without.
"""

CODE_LOCATION = "ml_data_platform"
"""One name everywhere: under another, a sensor that was stopped would run again."""
DEFINITIONS_MODULE = "ml_data_platform.definitions"
