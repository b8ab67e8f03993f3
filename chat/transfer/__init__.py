"""Conversations as JSON lines, from one installation to another."""
