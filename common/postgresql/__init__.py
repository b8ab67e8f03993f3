"""Django's PostgreSQL backend with a time limit per request and detection of outages (`monitor`)."""
