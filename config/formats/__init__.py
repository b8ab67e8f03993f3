"""Where Django's own formats of a language do not fit its readers."""
