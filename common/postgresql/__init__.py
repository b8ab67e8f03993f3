"""Django's PostgreSQL backend with a limit of how long one request may wait, and a view of outages (`monitor`)."""
