"""JSON Web Tokens without the database: the key ring, signing and parsing, and secrets sealed with the same keys."""
