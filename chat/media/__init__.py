"""Attachments: upload, type detection and decoding, storage, and access control."""
