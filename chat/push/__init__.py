"""Push notifications of the chat: `collect` gathers commits, `tasks` sends, `decide` selects recipients and texts.

Devices and delivery are in `sessions.push`.
"""
