"""Endpoints of factors: second factor, passkeys, mailed codes, social sign-in, telephone, reauthentication."""

import uuid
from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from common.client import client_of
from common.errors import NotFound
from common.views import OpenAPIView, no_store, survives_errors
from sessions.authentication import Authenticated, current_sid
from users import payload
from users.factors import (
    email_code,
    listing,
    mfa,
    passkeys,
    reauthentication,
    recovery_codes,
    social,
    totp,
)
from users.factors.models import Passkey
from users.http import factor_serializers as shapes
from users.http.serializers import LoggedInSerializer, UserSerializer
from users.http.views import documented, person, read, signed_in, with_fingerprint
from users.phone import verification

PROVIDER = OpenApiParameter("provider", OpenApiTypes.STR, OpenApiParameter.PATH, description="google, apple, …")
PASSKEY = OpenApiParameter("passkey_id", OpenApiTypes.UUID, OpenApiParameter.PATH)


def caller(request: Request) -> dict[str, Any]:
    """Return the session and the client that a service records with a change: its arguments `sid` and `client`."""
    return {"sid": current_sid(request), "client": client_of(request)}


def require_fresh(request: Request) -> None:
    reauthentication.require_fresh(user=person(request), sid=current_sid(request))


# --- Signing in -------------------------------------------------------------------------------------------------------


@survives_errors
class MfaView(OpenAPIView):
    @documented("mfa", request=shapes.MfaSerializer, auth=[], responses={200: LoggedInSerializer})
    def post(self, request: Request) -> HttpResponse:
        """Finish a login by its second factor: a code of the app, a recovery code, or a passkey."""
        given = read(shapes.MfaSerializer, request)
        return signed_in(
            mfa.verify(
                token=given["mfa_token"],
                code=given.get("code", ""),
                credential=given.get("credential"),
                client=client_of(request),
            )
        )


class MfaOptionsView(OpenAPIView):
    @documented("mfa_options", request=shapes.MfaOptionsSerializer, auth=[], responses={200: OpenApiTypes.OBJECT})
    def post(self, request: Request) -> Response:
        """Ask a passkey to be the second factor: WebAuthn request options."""
        return no_store(Response(mfa.options(token=read(shapes.MfaOptionsSerializer, request)["mfa_token"])))


class PasskeyOptionsView(OpenAPIView):
    @documented("passkey_options", auth=[], responses={200: OpenApiTypes.OBJECT})
    def post(self, request: Request) -> Response:
        """Ask any passkey of the device, also by conditional UI: WebAuthn request options."""
        return no_store(Response(passkeys.open_options(client=client_of(request))))


@survives_errors
class PasskeySignInView(OpenAPIView):
    @documented("passkey_sign_in", request=shapes.PasskeySignInSerializer, auth=[], responses={200: LoggedInSerializer})
    def post(self, request: Request) -> HttpResponse:
        """Sign in by a passkey alone."""
        passkeys.require_available()
        client = client_of(request)
        given = with_fingerprint(client, read(shapes.PasskeySignInSerializer, request))
        return signed_in(passkeys.sign_in(client=client, **given))


@survives_errors
class EmailCodeView(OpenAPIView):
    @documented("email_code", request=shapes.EmailCodeSerializer, auth=[], responses={200: shapes.ChallengeSerializer})
    def post(self, request: Request) -> Response:
        """Mail six digits to sign in with: the same answer for any address."""
        given = read(shapes.EmailCodeSerializer, request)
        challenge = email_code.request(email=given["email"], client=client_of(request))
        return no_store(Response({"challenge": challenge, "expires_in": email_code.SECONDS}))


@survives_errors
class EmailCodeConfirmView(OpenAPIView):
    @documented(
        "email_code_confirm",
        request=shapes.EmailCodeConfirmSerializer,
        auth=[],
        responses={200: LoggedInSerializer},
    )
    def post(self, request: Request) -> HttpResponse:
        """Sign in by the mailed digits, which also proves the address."""
        client = client_of(request)
        given = with_fingerprint(client, read(shapes.EmailCodeConfirmSerializer, request))
        return signed_in(email_code.confirm(client=client, **given))


@survives_errors
class SocialSignInView(OpenAPIView):
    @documented(
        "social_sign_in",
        request=shapes.SocialSignInSerializer,
        parameters=[PROVIDER],
        auth=[],
        responses={200: LoggedInSerializer, 201: LoggedInSerializer},
    )
    def post(self, request: Request, provider: str) -> HttpResponse:
        """Sign in by another provider's ID token; 201 with a new account."""
        client = client_of(request)
        given = with_fingerprint(client, read(shapes.SocialSignInSerializer, request))
        done = social.sign_in(provider=provider, client=client, **given)
        return signed_in(done.logged_in, code=status.HTTP_201_CREATED if done.created else status.HTTP_200_OK)


@survives_errors
class ReauthenticateView(APIView):
    @documented("reauthenticate", request=shapes.ReauthenticateSerializer, responses={200: shapes.ProvenSerializer})
    def post(self, request: Request) -> Response:
        """Prove again who sits at this session: it is fresh afterwards, and the access token says so."""
        auth = request.auth
        proven = reauthentication.reauthenticate(
            user=person(request),
            sid=current_sid(request),
            gen=auth.gen if isinstance(auth, Authenticated) else 0,
            client=client_of(request),
            **read(shapes.ReauthenticateSerializer, request),
        )
        return no_store(
            Response(
                {
                    "access": proven.access,
                    "access_expires_in": proven.access_expires_in,
                    "auth_time": proven.auth_time,
                    "amr": proven.amr,
                }
            )
        )


# --- Factors ----------------------------------------------------------------------------------------------------------


class FactorsView(APIView):
    @documented("factors", responses={200: shapes.FactorsSerializer})
    def get(self, request: Request) -> Response:
        """List the ways into one's account."""
        return Response(listing.of(person(request)))


@survives_errors
class TotpView(APIView):
    @documented("totp_begin", responses={200: shapes.EnrolmentSerializer})
    def post(self, request: Request) -> Response:
        """Show a secret for an authenticator app. Nothing changes before a code confirms it."""
        require_fresh(request)
        begun = totp.begin(user=person(request))
        return no_store(Response({"secret": begun.secret, "otpauth_url": begun.otpauth_url, "qr_svg": begun.qr_svg}))

    @documented("totp_remove", responses={204: None})
    def delete(self, request: Request) -> Response:
        """Turn the second factor off."""
        require_fresh(request)
        totp.remove(user_id=person(request).pk, **caller(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


@survives_errors
class TotpConfirmView(APIView):
    @documented("totp_confirm", request=shapes.CodeSerializer, responses={200: shapes.RecoveryCodesSerializer})
    def post(self, request: Request) -> Response:
        """Turn the second factor on by a first code; shows ten recovery codes, this once."""
        given = read(shapes.CodeSerializer, request)
        require_fresh(request)
        codes = totp.confirm(user=person(request), code=given["code"], **caller(request))
        return no_store(Response({"recovery_codes": codes}))


class RecoveryCodesView(APIView):
    @documented("recovery_codes", responses={200: shapes.RecoveryCodesSerializer})
    def post(self, request: Request) -> Response:
        """Make ten new recovery codes; the old ones are void."""
        require_fresh(request)
        codes = recovery_codes.make(user_id=person(request).pk, **caller(request))
        return no_store(Response({"recovery_codes": codes}))


class PasskeyCreationView(APIView):
    @documented("passkey_creation_options", responses={200: OpenApiTypes.OBJECT})
    def post(self, request: Request) -> Response:
        """Begin a passkey: WebAuthn creation options."""
        require_fresh(request)
        return no_store(Response(passkeys.creation_options(user=person(request))))


@survives_errors
class PasskeysView(APIView):
    @documented("passkey_add", request=shapes.PasskeyAddSerializer, responses={201: shapes.PasskeySerializer})
    def post(self, request: Request) -> Response:
        """Store the passkey that the device made."""
        passkeys.require_available()
        given = read(shapes.PasskeyAddSerializer, request)
        require_fresh(request)
        passkey = passkeys.add(user=person(request), **caller(request), **given)
        return Response(listing.passkey(passkey), status=status.HTTP_201_CREATED)


def passkey_id_of(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise NotFound from None


class PasskeyView(APIView):
    @documented(
        "passkey_rename",
        request=shapes.PasskeyNameSerializer,
        parameters=[PASSKEY],
        responses={200: shapes.PasskeySerializer},
    )
    def patch(self, request: Request, passkey_id: str) -> Response:
        """Name a passkey."""
        given = read(shapes.PasskeyNameSerializer, request)
        passkey: Passkey = passkeys.rename(
            user_id=person(request).pk, passkey_id=passkey_id_of(passkey_id), name=given["name"]
        )
        return Response(listing.passkey(passkey))

    @documented("passkey_remove", parameters=[PASSKEY], responses={204: None})
    def delete(self, request: Request, passkey_id: str) -> Response:
        """Remove a passkey, unless it is the last way in."""
        require_fresh(request)
        passkeys.remove(
            user_id=person(request).pk,
            passkey_id=passkey_id_of(passkey_id),
            **caller(request),
        )
        return Response(status=status.HTTP_204_NO_CONTENT)


@survives_errors
class SocialLinkView(APIView):
    @documented(
        "social_link",
        request=shapes.IdTokenSerializer,
        parameters=[PROVIDER],
        responses={200: shapes.SocialLinkSerializer},
    )
    def post(self, request: Request, provider: str) -> Response:
        """Link an account of another provider, as a further way in."""
        given = read(shapes.IdTokenSerializer, request)
        require_fresh(request)
        link = social.link(
            user=person(request),
            provider=provider,
            **caller(request),
            **given,
        )
        return Response(listing.social(link))

    @documented("social_unlink", parameters=[PROVIDER], responses={204: None})
    def delete(self, request: Request, provider: str) -> Response:
        """Unlink it, unless it is the last way in."""
        require_fresh(request)
        social.unlink(user_id=person(request).pk, provider=provider, **caller(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


# --- Telephone --------------------------------------------------------------------------------------------------------


@survives_errors
class PhoneView(APIView):
    @documented("phone", request=shapes.PhoneSerializer, responses={200: shapes.PhoneChallengeSerializer})
    def post(self, request: Request) -> Response:
        """Send six digits to a mobile number."""
        given = read(shapes.PhoneSerializer, request)
        require_fresh(request)
        challenge = verification.request(user=person(request), number=given["phone_number"], client=client_of(request))
        answer = {
            "challenge": challenge,
            "expires_in": verification.SECONDS,
            "resend_after": verification.RESEND_SECONDS,
        }
        return no_store(Response(answer))


@survives_errors
class PhoneConfirmView(APIView):
    @documented("phone_confirm", request=shapes.ChallengeCodeSerializer, responses={200: UserSerializer})
    def post(self, request: Request) -> Response:
        """Prove the number by the digits; it becomes the account's, verified."""
        given = read(shapes.ChallengeCodeSerializer, request)
        require_fresh(request)
        user = verification.confirm(user=person(request), **caller(request), **given)
        return Response(payload.user(user))
