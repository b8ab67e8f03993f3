"""Attachments: what is uploaded, what it decodes to, where its bytes are kept and who may read them."""
