"""The default rates by name; `RATE_<NAME>` in the environment replaces one (`0` = none)."""

RATES = {
    # per client address
    "login": "30/min",
    "register": "20/hour",
    "password_reset": "20/hour",
    "resend_verification": "20/hour",
    "password_reset_confirm": "20/min",
    "verify_email": "20/min",
    "was_it_you": "20/min",
    "email_code": "20/hour",
    "passkey_options": "60/min",
    # per e-mail address
    "email_code_tries": "20/day",
    "refresh_address": "300/5min",
    "handshake": "300/min",  # refused handshakes of sockets; good tokens are never counted
    # per account or session
    "mail_account": "1/min",
    "mail_account_hourly": "5/hour",
    # per address that is mailed, whoever asks
    "mail_target": "5/hour",
    "refresh_session": "60/5min",
    # per user
    "chat": "600/min",
}

# What text messages may cost; `SMS_BUDGET_<NAME>` replaces one (`0` = none).
SMS_BUDGETS = {
    "number_minute": "1/min",
    "number": "5/day",
    "account": "10/day",
    "address": "20/day",
    "country": "500/day",
    "all": "2000/day",
    # security notices to one number
    "notice": "5/day",
}
