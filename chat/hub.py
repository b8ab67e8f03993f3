"""What carries committed events to sockets."""

from chat.services.receipts import Receipt


def tell_receipt(receipt: Receipt) -> None:
    """Show the members how far somebody has read."""
