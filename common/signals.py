"""The only ways up or across: who sends declares here, who listens connects in its AppConfig.ready().

All are sent after commit with keyword arguments of plain values, but `sessions_ending`, `user_closing` and
`user_exporting`, which are sent inside the transaction of the service.
"""

from django.dispatch import Signal

# sids: list[UUID]; user_id: int; reason: str ("revoked", "logout", "logout_all", "replaced", "token_reused",
# "password_changed", "password_reset", "account_disabled", "account_closed", "admin")
session_revoked = Signal()

# user_id: int; reason: str, as above; everywhere: bool (of the person's sessions all, not one). Inside the transaction
# that ends them, also when none was living: what must end with them ends in the same commit.
sessions_ending = Signal()

# user_id: int; kind: str; at: datetime; client: common.client.Client | None; session_id: UUID | None; detail: dict
# (may be sent inside a transaction: the receiver stores the event in it)
security_event = Signal()

# user_id: int; the account was disabled: access, refresh and sockets end
user_suspended = Signal()

# user_id: int; act: "warned" | "suspended" | "answered"; text: str, what the moderator says to the person;
# until: datetime | None, the end of a suspension. Inside the transaction of the step: the person is mailed
moderated = Signal()

# user_id: int; inside the transaction that closes the account: erase what is the person's, keep what is the others'
user_closing = Signal()

# user_id: int; each receiver returns a dict that is merged into the export
user_exporting = Signal()

# Another key of the ring seals from now on: encrypt anew what rests sealed. Each receiver returns how many of its texts
# no key of the ring opens (see sessions.tokens.sealing).
sealing_key_changed = Signal()
