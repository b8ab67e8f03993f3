"""Authenticate an access token: one function for HTTP and for the socket."""

from rest_framework_simplejwt.authentication import JWTAuthentication


class SessionJWTAuthentication(JWTAuthentication):
    """simplejwt's, with the session checked."""
