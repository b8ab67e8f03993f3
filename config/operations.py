"""Tags and summaries of the OpenAPI document, in the order of an app's life: from the first screen to the last."""

from typing import Any

TAGS = {
    "register": "Open an account and prove the e-mail address.",
    "sign in": "By password, passkey, mailed code or another provider; the second step; proving again who one is.",
    "tokens": "Renew the access token, check it, end the session.",
    "password": "Change it, or set a new one by mail.",
    "factors": "Passkeys, authenticator app, recovery codes and other providers of one's own account.",
    "profile": "One's own account: fields, telephone, e-mail address, export, closing.",
    "devices": "One session for each device: list, rename, sign out.",
    "push": "Wake phones and browsers.",
    "conversations": "Open, list and set up conversations.",
    "members": "Who belongs to a conversation, and in which role.",
    "messages": "Read and write what is said. Apps write over the socket; these are for everything else.",
    "media": "Upload and fetch pictures, voice notes and files.",
    "search": "Find people, and what was said.",
    "safety": "Block and report.",
}

AUTH, ME, CHAT = "/api/auth/", "/api/users/me/", "/api/chat/"
CONVERSATION = f"{CHAT}conversations/{{conversation_uuid}}/"
SESSION = "/api/users/sessions/{sid}/"

# (method, path): (tag, summary), in the order of the document.
OPERATIONS = {
    ("post", f"{AUTH}register/"): ("register", "Open an account"),
    ("post", f"{AUTH}verify-email/"): ("register", "Prove an e-mail address by the link's token"),
    ("post", f"{AUTH}resend-verification/"): ("register", "Mail the verification link again"),
    ("post", f"{AUTH}login/"): ("sign in", "Sign in by password"),
    ("post", f"{AUTH}mfa/options/"): ("sign in", "Ask for a passkey challenge for the second step"),
    ("post", f"{AUTH}mfa/"): ("sign in", "Finish a sign-in by the second step"),
    ("post", f"{AUTH}passkey/options/"): ("sign in", "Ask for a passkey challenge"),
    ("post", f"{AUTH}passkey/"): ("sign in", "Sign in by passkey"),
    ("post", f"{AUTH}email-code/"): ("sign in", "Mail a sign-in code"),
    ("post", f"{AUTH}email-code/confirm/"): ("sign in", "Sign in by the mailed code"),
    ("post", f"{AUTH}social/{{provider}}/"): ("sign in", "Sign in with Apple, Google or another provider"),
    ("post", f"{AUTH}reauthenticate/"): ("sign in", "Prove again who is there"),
    ("post", f"{AUTH}token/refresh/"): ("tokens", "Renew the access token"),
    ("post", f"{AUTH}token/verify/"): ("tokens", "Ask whether a token is valid"),
    ("post", f"{AUTH}logout/"): ("tokens", "Sign this device out"),
    ("post", f"{AUTH}logout-all/"): ("tokens", "Sign every device out"),
    ("post", f"{AUTH}password-reset/"): ("password", "Mail a link for a new password"),
    ("post", f"{AUTH}password-reset/confirm/"): ("password", "Set a new password by the link's token"),
    ("post", f"{AUTH}password-change/"): ("password", "Change the password"),
    ("get", f"{AUTH}factors/"): ("factors", "List one's ways to sign in"),
    ("post", f"{AUTH}factors/totp/"): ("factors", "Begin with an authenticator app"),
    ("post", f"{AUTH}factors/totp/confirm/"): ("factors", "Confirm the authenticator app"),
    ("delete", f"{AUTH}factors/totp/"): ("factors", "Remove the authenticator app"),
    ("post", f"{AUTH}factors/recovery-codes/"): ("factors", "Make new recovery codes"),
    ("post", f"{AUTH}factors/passkeys/options/"): ("factors", "Ask for the options of a new passkey"),
    ("post", f"{AUTH}factors/passkeys/"): ("factors", "Add a passkey"),
    ("patch", f"{AUTH}factors/passkeys/{{passkey_id}}/"): ("factors", "Rename a passkey"),
    ("delete", f"{AUTH}factors/passkeys/{{passkey_id}}/"): ("factors", "Remove a passkey"),
    ("post", f"{AUTH}factors/social/{{provider}}/"): ("factors", "Link another provider"),
    ("delete", f"{AUTH}factors/social/{{provider}}/"): ("factors", "Unlink a provider"),
    ("get", ME): ("profile", "Read one's own profile"),
    ("patch", ME): ("profile", "Change one's own profile"),
    ("post", f"{ME}phone/"): ("profile", "Send a code to a telephone number"),
    ("post", f"{ME}phone/confirm/"): ("profile", "Prove the telephone number"),
    ("post", f"{AUTH}email-change/"): ("profile", "Ask for another e-mail address"),
    ("get", f"{ME}security-events/"): ("profile", "Read one's security timeline"),
    ("post", f"{AUTH}was-it-you/"): ("profile", "Answer a security notice by its link's token"),
    ("get", f"{ME}export/"): ("profile", "Export one's own data"),
    ("post", f"{ME}close/"): ("profile", "Close the account"),
    ("delete", ME): ("profile", "Close the account (for clients that may send a body with DELETE)"),
    ("get", "/api/users/sessions/"): ("devices", "List one's devices"),
    ("patch", SESSION): ("devices", "Rename a device"),
    ("post", f"{SESSION}revoke/"): ("devices", "Sign a device out"),
    ("delete", SESSION): ("devices", "Sign a device out (the same by DELETE)"),
    ("get", "/api/users/push/key/"): ("push", "Read the public key for Web Push"),
    ("put", f"{SESSION}push/"): ("push", "Register this device for push"),
    ("delete", f"{SESSION}push/"): ("push", "Stop push to this device"),
    ("get", f"{CHAT}conversations/"): ("conversations", "List one's conversations"),
    ("post", f"{CHAT}conversations/"): ("conversations", "Open a conversation"),
    ("get", CONVERSATION): ("conversations", "Read a conversation"),
    ("patch", CONVERSATION): ("conversations", "Change a conversation's title"),
    ("get", f"{CONVERSATION}settings/"): ("conversations", "Read one's own settings of a conversation"),
    ("patch", f"{CONVERSATION}settings/"): ("conversations", "Mute, pin or archive a conversation"),
    ("get", f"{CHAT}settings/"): ("conversations", "Read one's chat settings"),
    ("patch", f"{CHAT}settings/"): ("conversations", "Change one's chat settings"),
    ("get", f"{CONVERSATION}members/"): ("members", "List the members"),
    ("post", f"{CONVERSATION}members/"): ("members", "Add members"),
    ("patch", f"{CONVERSATION}members/{{member_id}}/"): ("members", "Change a member's role"),
    ("delete", f"{CONVERSATION}members/{{member_id}}/"): ("members", "Remove a member"),
    ("post", f"{CONVERSATION}leave/"): ("members", "Leave a conversation"),
    ("get", f"{CONVERSATION}messages/"): ("messages", "Read the history"),
    ("post", f"{CONVERSATION}messages/"): ("messages", "Send a message"),
    ("patch", f"{CHAT}messages/{{message_uuid}}/"): ("messages", "Edit a message"),
    ("delete", f"{CHAT}messages/{{message_uuid}}/"): ("messages", "Delete a message"),
    ("put", f"{CHAT}messages/{{message_uuid}}/reactions/{{emoji}}/"): ("messages", "React to a message"),
    ("delete", f"{CHAT}messages/{{message_uuid}}/reactions/{{emoji}}/"): ("messages", "Take a reaction back"),
    ("post", f"{CONVERSATION}seen/"): ("messages", "Mark as seen up to a message"),
    ("post", f"{CHAT}attachments/"): ("media", "Upload a file in one request"),
    ("get", f"{CHAT}attachments/{{attachment_uuid}}/"): ("media", "Fetch a file"),
    ("get", f"{CHAT}attachments/{{attachment_uuid}}/meta/"): ("media", "Read what is known of a file"),
    ("get", f"{CHAT}attachments/{{attachment_uuid}}/thumbnail/"): ("media", "Fetch a preview"),
    ("post", f"{CHAT}uploads/"): ("media", "Begin a resumable upload (tus)"),
    ("patch", f"{CHAT}uploads/{{upload_uuid}}/"): ("media", "Send a piece of an upload (tus)"),
    ("delete", f"{CHAT}uploads/{{upload_uuid}}/"): ("media", "Give an upload up (tus)"),
    ("get", "/api/users/search/"): ("search", "Find people by name"),
    ("get", f"{CHAT}search/"): ("search", "Find messages"),
    ("get", f"{CHAT}blocks/"): ("safety", "List whom one blocks"),
    ("post", f"{CHAT}blocks/"): ("safety", "Block somebody"),
    ("delete", f"{CHAT}blocks/{{blocked_id}}/"): ("safety", "Unblock somebody"),
    ("post", f"{CHAT}reports/"): ("safety", "Report a message or a person"),
}

SUCCESSES = {
    "200": "Done.",
    "201": "Created.",
    "204": "Done; there is no body.",
    "206": "The part of the file that was asked for.",
}
# What a parameter of a path or a page is, where its view does not say.
PARAMETERS = {
    "attachment_uuid": "An attachment that I uploaded or can see.",
    "blocked_id": "The id of the person whom I block.",
    "conversation_uuid": "A conversation that I am a member of.",
    "cursor": "From `next` or `previous`.",
    "emoji": "The emoji itself, percent-encoded.",
    "limit": "Rows of a page, up to 100 (50).",
    "member_id": "The id of the person in question.",
    "message_uuid": "A message that I can see.",
    "passkey_id": "From the list of factors.",
    "upload_uuid": "From `Location`.",
}


def in_the_order_of_a_life(result: dict[str, Any], generator: Any, **kwargs: Any) -> dict[str, Any]:
    """Sort the operations; give each tag, summary and what texts its view lacks (a postprocessing hook).

    Raises: KeyError for an operation that has no line in `OPERATIONS`, or a parameter in `PARAMETERS`.
    """
    for path, operations in result["paths"].items():
        for method, operation in operations.items():
            tag, operation["summary"] = OPERATIONS[method, path]
            operation["tags"] = [tag]
            for parameter in operation.get("parameters", ()):
                parameter["description"] = parameter.get("description") or PARAMETERS[parameter["name"]]
            for status, answer in operation["responses"].items():
                answer["description"] = answer.get("description") or SUCCESSES.get(status, "")
    places = {path: place for place, (_method, path) in reversed(list(enumerate(OPERATIONS)))}
    result["paths"] = dict(sorted(result["paths"].items(), key=lambda item: places[item[0]]))
    result["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
    return result
