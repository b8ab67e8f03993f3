"""Storage of attachment bytes: a folder (`MEDIA_ROOT`) or an S3-compatible object store (`STORAGE_URL`).

Every failure is `StoreAway`, a 503: full, unreachable, refusing, or no answer for 10 seconds. After a timeout, calls
of the next few seconds are refused at once, so that they do not queue up.
"""

import contextlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

import structlog
from django.conf import settings

from common.errors import TemporarilyUnavailable

log = structlog.get_logger(__name__)

TIMEOUT_SECONDS = 10
LINK_SECONDS = 300
BLOCK_BYTES = 256 * 1024
REST_SECONDS = 5.0  # after a slow failure

ORIGINAL, CONTENT, THUMBNAIL = "original", "content", "thumbnail"


class StoreAway(TemporarilyUnavailable):
    """The store failed; nothing was acknowledged to a client."""

    def __init__(self) -> None:
        super().__init__(retry_after=REST_SECONDS)


def key_of(attachment_uuid: uuid.UUID, which: str) -> str:
    """Return the key of one of an attachment's objects."""
    text = str(attachment_uuid)
    return f"attachments/{text[:2]}/{text}/{which}"


def keys_of(attachment_uuid: uuid.UUID) -> list[str]:
    return [key_of(attachment_uuid, which) for which in (ORIGINAL, CONTENT, THUMBNAIL)]


class Folder:
    """Store in a local folder; files are written atomically."""

    def __init__(self, root: str) -> None:
        self.root = Path(root)

    def save(self, key: str, source: IO[bytes], *, content_type: str, disposition: str) -> None:
        path = self.root / key
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                source.seek(0)
                shutil.copyfileobj(source, file, BLOCK_BYTES)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise

    def open(self, key: str) -> IO[bytes]:
        return open(self.root / key, "rb")

    def delete(self, key: str) -> None:
        path = self.root / key
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            path.parent.rmdir()

    def link(self, key: str) -> str | None:
        return None


class Bucket:
    """Store in a bucket, through django-storages."""

    def __init__(self, url: str) -> None:
        from botocore.config import Config
        from storages.backends.s3 import S3Storage

        self.is_found = False
        parts = urlsplit(url)
        endpoint = f"{'http' if parts.scheme == 's3+http' else 'https'}://{parts.hostname}"
        endpoint += f":{parts.port}" if parts.port else ""
        self.storage: Any = S3Storage(
            access_key=unquote(parts.username or ""),
            secret_key=unquote(parts.password or ""),
            bucket_name=parts.path.strip("/"),
            endpoint_url=endpoint,
            region_name="us-east-1",
            querystring_expire=LINK_SECONDS,
            file_overwrite=True,
            use_threads=True,
            client_config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                connect_timeout=TIMEOUT_SECONDS / 2,
                read_timeout=TIMEOUT_SECONDS,
                retries={"total_max_attempts": 1},
                # Many S3-compatible servers do not support checksums in trailers.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def save(self, key: str, source: IO[bytes], *, content_type: str, disposition: str) -> None:
        parameters = {"ContentType": content_type, "ContentDisposition": disposition, "CacheControl": "private"}
        # Not `storage.save`: it uses the same parameters for all objects.
        self._find_or_make_bucket()
        source.seek(0)
        self.storage.bucket.Object(key).upload_fileobj(
            _Unclosed(source), ExtraArgs=parameters, Config=self.storage.transfer_config
        )

    def _find_or_make_bucket(self) -> None:
        """Check for the bucket once and create it; a key without that permission may still write to it."""
        from botocore.exceptions import ClientError

        if self.is_found:
            return
        try:
            self.storage.connection.meta.client.head_bucket(Bucket=self.storage.bucket_name)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                self.storage.bucket.create()
        self.is_found = True

    def open(self, key: str) -> IO[bytes]:
        body: IO[bytes] = self.storage.bucket.Object(key).get()["Body"]
        return body

    def delete(self, key: str) -> None:
        self.storage.delete(key)

    def link(self, key: str) -> str | None:
        return str(self.storage.url(key))


class _Unclosed:
    """File wrapper that ignores `close`: boto closes what it uploads, but the file is still needed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def close(self) -> None:
        """Do nothing."""


@lru_cache(maxsize=4)
def _store(url: str, root: str) -> Folder | Bucket:
    return Bucket(url) if url else Folder(root)


def current() -> Folder | Bucket:
    return _store(settings.STORAGE_URL, settings.MEDIA_ROOT)


_resting_until = 0.0


@contextlib.contextmanager
def _guarded(what: str) -> Iterator[Folder | Bucket]:
    """Convert every failure of the store to StoreAway."""
    global _resting_until
    started = time.monotonic()
    if started < _resting_until:
        raise StoreAway
    try:
        yield current()
    except Exception as error:
        if not _is_of_the_store(error):
            raise
        took = time.monotonic() - started
        if took > TIMEOUT_SECONDS / 4:
            _resting_until = time.monotonic() + REST_SECONDS
        log.error("media.store_away", what=what, error=type(error).__name__, ms=round(took * 1000))
        raise StoreAway from error


def _is_of_the_store(error: Exception) -> bool:
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in {
        "botocore", "boto3", "s3transfer", "urllib3",
    }  # fmt: skip


def save(key: str, source: IO[bytes], *, content_type: str, disposition: str = "attachment") -> None:
    """Store `source` under `key`, completely or not at all. Raises StoreAway."""
    with _guarded("save") as store:
        store.save(key, source, content_type=content_type, disposition=disposition)


def open_object(key: str) -> IO[bytes]:
    """Open an object for reading. Raises StoreAway, also if it is missing, since its row says that it exists."""
    with _guarded("open") as store:
        return store.open(key)


def copy_to(key: str, target: IO[bytes]) -> None:
    """Append an object's bytes to `target`. Raises StoreAway."""
    with _guarded("read") as store, contextlib.closing(store.open(key)) as source:
        while block := source.read(BLOCK_BYTES):
            target.write(block)


def delete(keys: Iterable[str]) -> None:
    """Delete objects; missing ones are no error. Raises StoreAway."""
    with _guarded("delete") as store:
        for key in keys:
            store.delete(key)


def link(key: str) -> str | None:
    """Return a signed URL valid for 5 minutes, None if this server serves the bytes itself."""
    with _guarded("link") as store:
        return store.link(key)


def is_folder() -> bool:
    return isinstance(current(), Folder)
