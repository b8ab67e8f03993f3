"""Endpoints of accounts: registration, login, passwords, e-mail addresses, profile, export, closing, search."""

from typing import Any, cast

from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.fields import Field
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from common.client import Client, client_of
from common.drf import CursorPagination, read
from common.errors import TokenNotValid, ValidationFailed
from common.plain import Answer, HotView
from common.views import OpenAPIView, no_store, survives_errors
from sessions import payload as sessions_payload
from sessions.authentication import SessionJWTAuthentication, current_sid
from users import payload
from users.factors import reauthentication
from users.flows import (
    account_closing,
    email_change,
    email_verification,
    export,
    login,
    password_change,
    password_reset,
    profile,
    register,
    search,
    was_it_you,
)
from users.http import serializers
from users.models import User


def documented(operation_id: str, *, request: Any = None, **kwargs: Any) -> Any:
    """Describe an operation for OpenAPI; the error responses are added elsewhere, the same for all."""
    return extend_schema(operation_id=operation_id, tags=["accounts"], request=request, **kwargs)


def person(request: Request) -> User:
    """Return the signed-in user; for views that require one."""
    return cast(User, request.user)


def with_fingerprint(client: Client, given: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a login; the header's device fingerprint counts where the body has none."""
    return given | {"device_fingerprint": given["device_fingerprint"] or client.device_fingerprint}


def signed_in(logged_in: login.LoggedIn, *, code: int = status.HTTP_200_OK) -> HttpResponse:
    """Return the response of a login, whichever factors it took."""
    user_session = logged_in.started.user_session
    tokens = sessions_payload.tokens(logged_in.started.tokens, user_session, open_sockets=0)  # it is new
    body = {**tokens, "user": payload.user(logged_in.user), "device_token": logged_in.device_token}
    return no_store(Answer(body, status=code))


def password_or_fresh(request: Request, given: dict[str, Any]) -> str | None:
    """Return the password that authorises the call; None for a user without one whose session is fresh.

    Raises: ValidationFailed (`required`), ReauthenticationRequired.
    """
    if "password" in given:
        return str(given["password"])
    if person(request).has_usable_password():
        raise ValidationFailed.of("password", "required", Field.default_error_messages["required"])
    reauthentication.require_fresh(user=person(request), sid=current_sid(request))
    return None


class RegisterView(OpenAPIView):
    @documented(
        "register", request=serializers.RegisterSerializer, auth=[], responses={201: serializers.RegisteredSerializer}
    )
    def post(self, request: Request) -> Response:
        """Open an account and mail a verification link. A taken name or address is `unique`."""
        register.require_open()  # before the fields are validated: correcting them would not help
        given = read(serializers.RegisterSerializer, request)
        user = register.register(
            username=given.pop("username"),
            email=given.pop("email"),
            password=given.pop("password"),
            client=client_of(request),
            preferences=given,
        )
        return Response({"user": payload.user(user)}, status=status.HTTP_201_CREATED)


@survives_errors
class LoginView(HotView, OpenAPIView):
    plain = frozenset({"POST"})

    @documented("login", request=serializers.LoginSerializer, auth=[], responses={200: serializers.LoggedInSerializer})
    def post(self, request: Request) -> HttpResponse:
        """Sign in. Five failed passwords lock the account for half an hour, known or not."""
        client = client_of(request)
        given = with_fingerprint(client, read(serializers.LoginSerializer, request))
        return signed_in(login.login(client=client, **given))


class PasswordResetView(OpenAPIView):
    @documented(
        "password_reset",
        request=serializers.PasswordResetSerializer,
        auth=[],
        responses={200: serializers.DetailSerializer},
    )
    def post(self, request: Request) -> Response:
        """Ask for a link to choose a new password: the same answer for any address."""
        password_reset.request(**read(serializers.PasswordResetSerializer, request), client=client_of(request))
        return Response({"detail": _("If there is an account with this address, a mail is on its way to it.")})


@survives_errors
class PasswordResetConfirmView(OpenAPIView):
    @documented(
        "password_reset_confirm",
        request=serializers.PasswordResetConfirmSerializer,
        auth=[],
        responses={200: serializers.DetailSerializer},
    )
    def post(self, request: Request) -> Response:
        """Set the password, end every session and lift the lockout. Nobody is signed in by it."""
        given = read(serializers.PasswordResetConfirmSerializer, request)
        password_reset.confirm(token=given["token"], password=given["new_password"], client=client_of(request))
        return Response({"detail": _("Your password was changed. Please sign in.")})


@survives_errors
class PasswordChangeView(APIView):
    takes_superseded_tokens = True

    @documented(
        "password_change",
        request=serializers.PasswordChangeSerializer,
        responses={200: serializers.PasswordChangedSerializer},
    )
    def post(self, request: Request) -> Response:
        """Set the password, end every other session and get a new pair for this one."""
        given = read(serializers.PasswordChangeSerializer, request)
        sid = current_sid(request)
        changed = password_change.change(
            superseded=bool(getattr(request.auth, "superseded", False)),
            user_id=person(request).pk,
            old_password=given["old_password"],
            password=given["new_password"],
            sid=sid,
            client=client_of(request),
        )
        answer: dict[str, Any] = {"detail": _("Your password was changed."), "device_token": changed.device_token}
        if changed.tokens and changed.user_session:
            answer |= sessions_payload.tokens(changed.tokens, changed.user_session)
        return no_store(Response(answer))


class VerifyEmailView(OpenAPIView):
    @documented(
        "verify_email",
        request=serializers.VerifyEmailSerializer,
        auth=[],
        responses={200: serializers.DetailSerializer},
    )
    def post(self, request: Request) -> Response:
        """Prove an address by the token of a mailed link."""
        email_verification.verify(**read(serializers.VerifyEmailSerializer, request), client=client_of(request))
        return Response({"detail": _("Your e-mail address is verified.")})


class WasItYouView(OpenAPIView):
    @documented(
        "answer_notice",
        request=serializers.WasItYouSerializer,
        auth=[],
        responses={200: serializers.DetailSerializer},
    )
    def post(self, request: Request) -> Response:
        """Answer the "Was it you?" of a security notice by the token of its link, once: `me`, or `sign_out`."""
        given = read(serializers.WasItYouSerializer, request)
        was_it_you.answer(**given, client=client_of(request))
        if given["answer"] == "me":
            return Response({"detail": _("Thank you. Nothing was changed.")})
        return Response({"detail": _("That device is signed out.")})


class ResendVerificationView(OpenAPIView):
    """Open. A Bearer says whose address it is; one that no longer counts is not asked where the body names one."""

    authentication_classes: Any = []
    permission_classes = [AllowAny]

    @documented(
        "resend_verification",
        request=serializers.ResendVerificationSerializer,
        auth=[{}, {"bearer": []}],
        responses={200: serializers.DetailSerializer},
    )
    def post(self, request: Request) -> Response:
        """Mail a new verification link, to the Bearer or to `email`: the same answer for any address."""
        user_id = self._signed_in(request)
        if user_id is not None:
            email_verification.resend(client=client_of(request), user_id=user_id)
        else:
            given = read(serializers.ResendVerificationSerializer, request)
            email_verification.resend(client=client_of(request), email=given["email"])
        return Response({"detail": _("If this address is waiting to be verified, a mail is on its way to it.")})

    def _signed_in(self, request: Request) -> int | None:
        """Return whose Bearer it is. Raises TokenNotValid for a stale one if the body names nobody."""
        if request.user.is_authenticated:  # by `force_authenticate` of DRF's test client: nothing else is read here
            return int(request.user.pk)
        try:
            signed_in = SessionJWTAuthentication().authenticate(request)
        except TokenNotValid:
            if isinstance(request.data, dict) and request.data.get("email") is not None:
                return None
            raise
        return signed_in[1].user_id if signed_in else None


@survives_errors
class EmailChangeView(APIView):
    @documented(
        "email_change", request=serializers.EmailChangeSerializer, responses={200: serializers.DetailSerializer}
    )
    def post(self, request: Request) -> Response:
        """Mail the new address a link; the address changes once it is followed."""
        given = read(serializers.EmailChangeSerializer, request)
        email_change.request(
            user_id=person(request).pk,
            email=given["new_email"],
            password=password_or_fresh(request, given),
            sid=current_sid(request),
            client=client_of(request),
        )
        return Response({"detail": _("Please follow the link that we mailed to the new address.")})


@survives_errors
class MeView(HotView):
    plain = frozenset({"GET"})

    @documented("me", responses={200: serializers.UserSerializer})
    def get(self, request: Request) -> HttpResponse:
        """Show oneself."""
        return Answer(payload.user(person(request)))

    @documented(
        "me_update", request=serializers.UserSerializer(partial=True), responses={200: serializers.UserSerializer}
    )
    def patch(self, request: Request) -> Response:
        """Change oneself. Another phone number is an unverified one."""
        user = person(request)
        given = request.data
        if isinstance(given, dict):  # what is sent back as it was shown changes nothing, and may be older than a rule
            shown = serializers.UserSerializer(user).data
            given = {
                key: value
                for key, value in given.items()
                if key not in shown or (type(value), value) != (type(shown[key]), shown[key])
            }
        changes = read(serializers.UserSerializer, request, data=given, partial=True)
        if changes.get("phone_number", user.phone_number) != user.phone_number:
            reauthentication.require_fresh(user=user, sid=current_sid(request))
        changed = profile.update(user_id=user.pk, changes=changes, sid=current_sid(request), client=client_of(request))
        return Response(payload.user(changed))

    @documented("me_close", request=serializers.PasswordSerializer, responses={204: None})
    def delete(self, request: Request) -> Response:
        """Close the account: signed out everywhere, personal data erased, messages kept without a name."""
        return close(request)


@survives_errors
class CloseView(APIView):
    @documented("me_close_by_post", request=serializers.PasswordSerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        """Close the account, for clients that cannot send a body with DELETE."""
        return close(request)


def close(request: Request) -> Response:
    given = read(serializers.PasswordSerializer, request)
    account_closing.close(
        user_id=person(request).pk,
        password=password_or_fresh(request, given),
        sid=current_sid(request),
        client=client_of(request),
    )
    return Response(status=status.HTTP_204_NO_CONTENT)


class ExportView(APIView):
    @documented("me_export", responses={200: OpenApiTypes.OBJECT})
    def get(self, request: Request) -> Response:
        """Download what is held about oneself."""
        reauthentication.require_fresh(user=person(request), sid=current_sid(request))
        response = Response(export.export(user_id=person(request).pk))
        response["Content-Disposition"] = 'attachment; filename="alviar-export.json"'
        response["Cache-Control"] = "no-store"
        return response


class PeoplePagination(CursorPagination):
    ordering = ("search_username", "id")  # type: ignore[assignment]


QUERY = OpenApiParameter("q", OpenApiTypes.STR, required=True, description="at least 2 characters")
LIMIT = OpenApiParameter("limit", OpenApiTypes.INT, description="at most 100")
CURSOR = OpenApiParameter("cursor", OpenApiTypes.STR)


class SearchView(APIView):
    @documented("people_search", parameters=[QUERY, LIMIT, CURSOR], responses={200: serializers.PeoplePageSerializer})
    def get(self, request: Request) -> Response:
        """Find people by the beginning of their names."""
        query = request.query_params.get("q", "").strip()
        if len(query) < search.MINIMUM_CHARS:
            raise ValidationFailed.of("q", "min_length", _("Type at least 2 characters."))
        if "\0" in query:
            raise ValidationFailed.of("q", "invalid", _("Control characters are not allowed."))
        pages = PeoplePagination()
        people: list[User] = pages.paginate_queryset(
            search.people(query=query, searcher_id=person(request).pk), request, view=self
        )
        return pages.get_paginated_response([payload.person(user) for user in people])
