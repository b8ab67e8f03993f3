"""Refusals of uploads and downloads."""

from django.utils.translation import gettext_lazy as _

from common.errors import ApplicationError


class QuotaExceeded(ApplicationError):
    status, code = 413, "quota_exceeded"
    detail = _("Your storage is full. Delete something or send a smaller file.")


class Infected(ApplicationError):
    status, code = 400, "infected"
    detail = _("This file was refused because it contains malware.")


class RangeNotSatisfiable(ApplicationError):
    status, code = 416, "range_not_satisfiable"
    detail = _("This part of the file does not exist.")


class UnknownTusVersion(ApplicationError):
    status, code = 412, "unknown_tus_version"
    detail = _("Only version 1.0.0 of the upload protocol is spoken here.")


class OffsetConflict(ApplicationError):
    status, code, action = 409, "offset_conflict", "retry"
    detail = _("The upload is at another offset. Ask for it and go on from there.")


class UploadBusy(ApplicationError):
    status, code, action = 423, "upload_busy", "retry"
    detail = _("Another request is finishing this upload.")


class WrongMediaType(ApplicationError):
    status, code = 415, "unsupported_media_type"
    detail = _("This type of content is not taken here.")
