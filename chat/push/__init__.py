"""Push for the chat: `collect` notes what was committed, `tasks` sends it, `decide` says to whom and with what words.

The ways to a device are those of `sessions.push`.
"""
