"""What each mail says. One layout, in text and in HTML, in the reader's language and direction.

Its name, colour, logo and address come from the settings (`theme`); text alone is always complete.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import make_msgid
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.dateformat import format as date_format
from django.utils.translation import get_language_bidi, get_supported_language_variant, gettext_lazy, ngettext
from django.utils.translation import gettext as _

from common.wording import device, place
from sessions.models import UserSession
from sessions.places import location
from users.mail import single_use, theme, unsubscribing
from users.models import EmailVerificationToken, Passkey, PasswordResetToken, SecurityEvent, SocialLink, User

# Turned off by `email_notifications`. All others are about the way into the account and are sent in any case.
OPTIONAL = frozenset({"new_sign_in", "moderation_answered"})

# An event older than this did not cause the mail that is being written, even after a long outage of the mail server.
RECENT = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Letter:
    """The parts of one mail. `facts` are (label, value) pairs: when, where from, which device; `advice` follows them.

    `link` is the one thing to click; where the reader can say whether it was them, `was_it_you` comes first.
    `preheader` is what a list of mails shows beside the subject: the first paragraph, unless it says otherwise.
    """

    subject: str
    paragraphs: list[str]
    facts: list[tuple[str, str]] = field(default_factory=list)
    was_it_you: str = ""
    advice: list[str] = field(default_factory=list)
    button: str = ""
    link: str = ""
    closing: str = ""
    preheader: str = ""


def write(user: User, name: str, *, to: str, language: str, context: dict[str, Any]) -> EmailMultiAlternatives:
    """Return the message, ready to send. If the mail carries a secret, a new one replaces the older ones."""
    with translation.override(spoken(user, language)), timezone.override(clock(user)):
        letter = LETTERS[name](user, context)
        stop = unsubscribing.address(user, to) if name in OPTIONAL else ""
        shown: dict[str, Any] = {
            "letter": letter,
            "preheader": letter.preheader or letter.paragraphs[0],
            # French has a space before the colon.
            "facts": [_("%(label)s: %(value)s") % {"label": label, "value": value} for label, value in letter.facts],
            "labelled": [(_("%(label)s:") % {"label": label}, target) for label, target in actions(letter)],
            "buttons": actions(letter),
            "question": _("Was it you?") if letter.was_it_you else "",
            # A name in a mail to an unverified address would let anybody send text to strangers through us.
            "greeting": _("Hello %(name)s,") % {"name": user.username} if greeted(user, to) else _("Hello,"),
            "stop": stop,
            "stop_label": _("Turn these mails off"),
            "stop_line": _("%(label)s:") % {"label": _("Turn these mails off")},
            "language": translation.get_language(),
            "direction": "rtl" if get_language_bidi() else "ltr",
            "site": urlsplit(settings.PUBLIC_URL).netloc,
            "theme": theme.of_settings(),
        }
        message = EmailMultiAlternatives(
            subject=_("%(subject)s · %(product)s") % {"subject": letter.subject, "product": settings.PRODUCT_NAME},
            body=render_to_string("users/mail/letter.txt", shown),
            to=[to],
            headers={
                "Auto-Submitted": "auto-generated",  # RFC 3834: no out-of-office answers
                "Content-Language": shown["language"],
                # Otherwise Django resolves this machine's name, which may take seconds.
                "Message-ID": make_msgid(domain=urlsplit(settings.PUBLIC_URL).hostname or "localhost"),
                **unsubscribing.headers(stop),
            },
        )
        message.attach_alternative(render_to_string("users/mail/letter.html", shown), "text/html")
    return message


def actions(letter: Letter) -> list[tuple[str, str]]:
    """Return what can be clicked, as (label, address), the most important one first."""
    asked = [
        (_("Sign this device out"), f"{letter.was_it_you}&answer=sign_out"),
        (_("It was me"), f"{letter.was_it_you}&answer=me"),
    ]
    return [*(asked if letter.was_it_you else []), *([(letter.button, letter.link)] if letter.link else [])]


def spoken(user: User, language: str) -> str:
    """Return the user's language, that of the request for a closed account, else English."""
    wish = language if user.closed_at and language else user.language or language
    try:
        return get_supported_language_variant(wish)
    except LookupError:
        return "en"


def clock(user: User) -> ZoneInfo:
    try:
        return ZoneInfo(user.timezone)
    except (KeyError, ValueError, OSError):
        return ZoneInfo("UTC")


def greeted(user: User, to: str) -> bool:
    return user.email_verified and not user.closed_at and to == user.email


def link(path: str, secret: object) -> str:
    """Return a link with the secret in the fragment, unseen by logs and Referer. Never uses the Host header."""
    return f"{settings.PUBLIC_URL}/{path}/#token={secret}"


def lasts(seconds: int) -> str:
    hours, minutes = seconds // 3600, seconds // 60
    if hours:
        return ngettext("%(count)d hour", "%(count)d hours", hours) % {"count": hours}
    return ngettext("%(count)d minute", "%(count)d minutes", minutes) % {"count": minutes}


def reset_page() -> str:
    return f"{settings.PUBLIC_URL}/reset-password/"


def event_of(user: User, context: dict[str, Any], kind: str = "") -> SecurityEvent | None:
    """Return the event that caused the mail, else the last of that kind."""
    events = SecurityEvent.objects.filter(user=user)
    if context.get("event_id"):
        return events.filter(pk=context["event_id"]).first()
    return events.filter(kind=kind, at__gt=timezone.now() - RECENT).order_by("-at").first()


def notice(user: User, context: dict[str, Any], kind: str = "") -> dict[str, Any]:
    """Return the facts of a security notice (when, where from, which device) and its "Was it you?"."""
    event = event_of(user, context, kind)
    if event is None:
        return {}
    rows = [
        (_("When"), moment(event.at)),
        (_("Where"), place(location.described(event.location))),
        (_("Address"), event.ip_address or ""),
        (_("Device"), harmless(device(event.client))),
    ]
    return {"facts": [(label, value) for label, value in rows if value], "was_it_you": question(event)}


def question(event: SecurityEvent) -> str:
    """Return the page that asks, where there is a living session to sign out and its person, not support, acted."""
    if event.session_id is None or event.detail.get("by") == "admin":
        return ""
    living = UserSession.objects.filter(
        user_id=event.user_id, session_token=event.session_id, is_active=True, expires_at__gt=timezone.now()
    )
    if not living.exists():
        return ""
    # Not named `token`: what spends it is another call than that of the links which open an account.
    return f"{settings.PUBLIC_URL}/was-it-you/#key={single_use.issue_notice(event)}"


# Where one writes the month first and twelve hours; elsewhere English, too, puts the day first.
AMERICAN = ("America/", "US/", "Pacific/Honolulu", "Pacific/Guam", "Asia/Manila")


def moment(at: datetime) -> str:
    """Return `Thursday 26 November 2026, 17:50 (Algiers, UTC+1)`: day, date and clock as the reader writes them."""
    local, zone = timezone.localtime(at), timezone.get_current_timezone_name()
    is_american = translation.get_language() == "en" and zone.startswith(AMERICAN)
    day = date_format(local, "l, F j, Y" if is_american else "l j F Y")
    clock = date_format(local, "g:i A" if is_american else "H:i")
    minutes = int((local.utcoffset() or timedelta()).total_seconds()) // 60
    hours, rest = divmod(abs(minutes), 60)
    offset = f"UTC{'-' if minutes < 0 else '+'}{hours}{f':{rest:02}' if rest else ''}" if minutes else "UTC"
    city = zone.rpartition("/")[2].replace("_", " ")
    where = offset if city == "UTC" else f"{city}, {offset}"
    if get_language_bidi():  # the marks keep "Algiers, UTC+1" in order inside a line that runs from right to left
        return f"{day}، {clock} (\u2066{where}\u2069)"
    return f"{day}, {clock} ({where})"


def harmless(text: str) -> str:
    """Return '' for a text that looks like a URL.

    Mails show parts of the user agent, which an attacker chooses: their link must not appear in a mail of ours.
    """
    return "" if re.search(r"[^\W\d]\.[^\W\d]|://|@|www\.", text) or len(text) > 100 else text


def masked(email: str) -> str:
    """Return `n…@example.com`: recognisable for its owner, but not readable for others."""
    local, _at, domain = email.partition("@")
    return f"{local[:1]}…@{domain}"


def not_you() -> str:
    return _("If this was not you, choose a new password now. That signs out every device.")


def verify_email(user: User, context: dict[str, Any]) -> Letter:
    if context.get("email"):  # an address change: valid only while what authorised it holds
        allowed_by = str(context.get("allowed_by", ""))
        raw = single_use.issue(
            EmailVerificationToken, user, purpose="email_change", allowed_by=allowed_by, email=context["email"]
        )
    else:
        raw = single_use.issue(EmailVerificationToken, user, email=user.email)
    return Letter(
        subject=_("Confirm your e-mail address"),
        paragraphs=[
            _("Please confirm that this address is yours."),
            _("The link works once, for %(time)s.") % {"time": lasts(settings.EMAIL_VERIFICATION_LIFETIME)},
        ],
        button=_("Confirm this address"),
        link=link("verify-email", raw),
        closing=_("If you did not ask for this, ignore this mail: nothing will happen."),
    )


def password_reset(user: User, context: dict[str, Any]) -> Letter:
    allowed_by = str(context.get("allowed_by", ""))
    purpose = "password_reset" if allowed_by else ""  # requested by address: `tasks.send_to_address` has checked
    raw = single_use.issue(PasswordResetToken, user, purpose=purpose, allowed_by=allowed_by, email=user.email)
    return Letter(
        subject=_("Choose a new password"),
        paragraphs=[
            _("Somebody, most likely you, asked for a new password for your account."),
            _("The link works once, for %(time)s. A new password signs out every device.")
            % {"time": lasts(settings.PASSWORD_RESET_LIFETIME)},
        ],
        button=_("Choose a new password"),
        link=link("reset-password", raw),
        closing=_("If you did not ask for this, ignore this mail: your password stays as it is."),
    )


def password_changed(user: User, context: dict[str, Any]) -> Letter:
    return Letter(
        subject=_("Your password was changed"),
        paragraphs=[_("The password of your account was changed.")],
        **notice(user, context, "password_changed"),
        advice=[not_you(), *still_open(user)],
        button=_("Choose a new password"),
        link=reset_page(),
    )


def still_open(user: User) -> list[str]:
    """Return the reminder that a new password leaves passkeys and linked accounts as they are, if there are any."""
    if not (Passkey.objects.filter(user=user).exists() or SocialLink.objects.filter(user=user).exists()):
        return []
    return [_("Passkeys and linked accounts still sign in. Look through them, and remove what is not yours.")]


def account_locked(user: User, context: dict[str, Any]) -> Letter:
    return Letter(
        subject=_("Sign-in to your account is paused"),
        paragraphs=[
            _("After several wrong passwords nobody can sign in to your account for %(time)s.")
            % {"time": lasts(settings.LOCKOUT_SECONDS)},
            _("Devices that are signed in stay signed in. Nobody got in by this."),
        ],
        **notice(user, context, "lockout"),
        advice=[
            _("If it was you, wait, or choose a new password: that lifts the pause at once."),
            _("If it was not you, somebody is guessing. A long password that you use nowhere else keeps them out."),
        ],
        button=_("Choose a new password"),
        link=reset_page(),
    )


def new_sign_in(user: User, context: dict[str, Any]) -> Letter:
    return Letter(
        subject=_("New sign-in to your account"),
        paragraphs=[_("Somebody signed in to your account on a device that we have not seen before.")],
        **notice(user, context, "new_device"),
        advice=[not_you()],
        button=_("Choose a new password"),
        link=reset_page(),
        closing=_("You get this mail because e-mail notifications are on in your settings."),
    )


def token_reused(user: User, context: dict[str, Any]) -> Letter:
    return Letter(
        subject=_("A device was signed out for your safety"),
        paragraphs=[
            _("A sign-in key of one of your devices was used a second time, as happens when it has been copied."),
            _("We signed that device out. Sign in on it again to go on."),
        ],
        **notice(user, context, "refresh_reused"),
        advice=[_("If this happens again, choose a new password. That signs out every device.")],
        button=_("Choose a new password"),
        link=reset_page(),
    )


def email_change_old_address(user: User, context: dict[str, Any]) -> Letter:
    return Letter(
        subject=_("The e-mail address of your account is being changed"),
        paragraphs=[
            _("The address of your account is to become %(email)s, once it has been confirmed there.")
            % {"email": masked(str(context.get("new_email", "")))}
            if context.get("new_email")
            else _("The address of your account is being changed."),
        ],
        **notice(user, context),
        advice=[not_you()],
        button=_("Choose a new password"),
        link=reset_page(),
    )


def email_taken(user: User, context: dict[str, Any]) -> Letter:
    return Letter(
        subject=_("Somebody gave your e-mail address"),
        paragraphs=[
            _("Somebody wanted to use this address for another account. It stays yours, nothing was changed."),
            _("If that was you: you already have an account with this address. Sign in, or choose a new password."),
        ],
        button=_("Choose a new password"),
        link=reset_page(),
    )


def account_closed(user: User, context: dict[str, Any]) -> Letter:
    return Letter(
        subject=_("Your account is closed"),
        paragraphs=[
            _("Your account was closed as you asked. Every device is signed out and your personal data is erased."),
            _("What you wrote to others stays with them, without your name."),
        ],
    )


def email_code(user: User, context: dict[str, Any]) -> Letter:
    """Return the mail of a sign-in code. `code`: made by the task that writes it (`users.factors.email_code`)."""
    return Letter(
        subject=_("%(code)s is your code to sign in") % {"code": context.get("code", "")},
        paragraphs=[
            _("Your code to sign in: %(code)s") % {"code": context.get("code", "")},
            _("It works once, for %(time)s. Nobody of ours will ever ask you for it.") % {"time": lasts(600)},
        ],
        advice=[]
        if user.email_verified
        else [
            _(
                "Nobody has confirmed this address yet. If you did not open this account yourself, choose a new "
                "password first: whoever opened it knows the present one."
            )
        ],
        preheader=_("It works once, for %(time)s. Nobody of ours will ever ask you for it.") % {"time": lasts(600)},
        closing=_("If you did not ask for this, ignore this mail: nobody signs in without the code."),
    )


def said(context: dict[str, Any]) -> list[str]:
    return [str(context["text"])] if context.get("text") else []


def moderation_warned(user: User, context: dict[str, Any]) -> Letter:
    return Letter(
        subject=_("A warning about a message of yours"),
        paragraphs=[_("A message of yours was reported. A moderator read it and asks you to keep to the rules.")],
        advice=[*said(context), _("If this happens again, your account may be suspended.")],
    )


def moderation_suspended(user: User, context: dict[str, Any]) -> Letter:
    until = datetime.fromisoformat(context["until"]) if context.get("until") else None
    lasts = (
        _("Until then nobody can sign in to it: %(time)s. After that it works again by itself.")
        % {"time": moment(until)}
        if until
        else _("Nobody can sign in to it any more.")
    )
    return Letter(
        subject=_("Your account is suspended"),
        paragraphs=[_("A moderator suspended your account because of a message that was reported."), lasts],
        advice=said(context),
    )


def moderation_answered(user: User, context: dict[str, Any]) -> Letter:
    return Letter(
        subject=_("About your report"),
        paragraphs=[_("You reported a message. A moderator has looked at it and writes:"), *said(context)],
        closing=_("Thank you for telling us."),
    )


# Kind of the event: (subject, what happened). All of them say when, where from and what to do if it was not you.
OF_FACTORS: dict[str, tuple[Any, Any]] = {
    "mfa_enabled": (
        gettext_lazy("Your second factor is on"),
        gettext_lazy("From now on signing in to your account also asks for a code of your authenticator app."),
    ),
    "mfa_disabled": (
        gettext_lazy("Your second factor is off"),
        gettext_lazy("Signing in to your account no longer asks for a code of your authenticator app."),
    ),
    "passkey_added": (
        gettext_lazy("A passkey was added to your account"),
        gettext_lazy("A new passkey can sign in to your account, without a password."),
    ),
    "passkey_removed": (
        gettext_lazy("A passkey was removed from your account"),
        gettext_lazy("One of your passkeys can no longer sign in to your account."),
    ),
    "recovery_code_used": (
        gettext_lazy("A recovery code of your account was used"),
        gettext_lazy("Somebody signed in with one of your recovery codes. It does not work again."),
    ),
    "recovery_codes_made": (
        gettext_lazy("New recovery codes for your account"),
        gettext_lazy("New recovery codes were made for your account. The old ones no longer work."),
    ),
    "social_linked": (
        gettext_lazy("An account elsewhere was linked to yours"),
        gettext_lazy("An account of another provider can sign in to your account from now on."),
    ),
    "social_unlinked": (
        gettext_lazy("An account elsewhere is no longer linked to yours"),
        gettext_lazy("An account of another provider can no longer sign in to your account."),
    ),
    "phone_changed": (
        gettext_lazy("The phone number of your account was changed"),
        gettext_lazy("Another phone number was confirmed for your account."),
    ),
}


def of_factor(kind: str) -> Callable[[User, dict[str, Any]], Letter]:
    def letter(user: User, context: dict[str, Any]) -> Letter:
        subject, happened = OF_FACTORS[kind]
        event = event_of(user, context, kind)
        if event is not None and event.detail.get("verified") is False:
            happened = _("The confirmed phone number was taken off your account. Text messages no longer go there.")
        return Letter(
            subject=str(subject),
            paragraphs=[str(happened), *because(context)],
            **notice(user, context, kind),
            advice=[not_you(), *still_open(user)],
            button=_("Choose a new password"),
            link=reset_page(),
        )

    return letter


def because(context: dict[str, Any]) -> list[str]:
    """Return the reason that an admin gave, if the change was not made by the user."""
    event = SecurityEvent.objects.filter(pk=context["event_id"]).first() if context.get("event_id") else None
    detail = event.detail if event else {}
    if detail.get("reason") == "unproved":
        return [_("It was added before your address had been confirmed. If it was yours, add it again.")]
    if detail.get("reason") == "counter" and "by" not in detail:
        return [_("It was used in a way that only a copy of it could be. We ended it for your safety.")]
    if detail.get("by") == "admin":
        why = harmless(str(detail.get("reason", "")))
        said = _("Our support did this.")
        return [f"{said} {why}".strip()]
    return []


LETTERS: dict[str, Callable[[User, dict[str, Any]], Letter]] = {
    "verify_email": verify_email,
    "password_reset": password_reset,
    "password_changed": password_changed,
    "account_locked": account_locked,
    "new_sign_in": new_sign_in,
    "token_reused": token_reused,
    "email_change_old_address": email_change_old_address,
    "email_taken": email_taken,
    "account_closed": account_closed,
    "email_code": email_code,
    "moderation_warned": moderation_warned,
    "moderation_suspended": moderation_suspended,
    "moderation_answered": moderation_answered,
    **{kind: of_factor(kind) for kind in OF_FACTORS},
}
