"""Push notifications to the devices of sessions: registration, and delivery by Web Push, FCM, APNs and Expo.

`registrations` stores the address (part of the session, deleted with it), `provider` is the interface of the four,
`delivery` sends. Who gets which push is decided by the apps above: `chat/push` for messages, `users/notices` for
account security.
"""
