"""Push: where a session's device is reached while no socket is open, and how.

`registrations` keeps the address (a part of the session: it ends with it), `provider` is what Web Push, FCM, APNs and
Expo have in common, `delivery` sends. Who is told what is decided by those above: `chat/push` for messages,
`users/notices` for the security of the account.
"""
