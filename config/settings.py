"""All settings, read once from the environment, each with its default.

`.env.example` lists them. A bad, missing or unknown one aborts the start with one line each; `config/checks.py` refuses
unsafe combinations.
"""

import contextlib
import os
import secrets
from datetime import timedelta
from email.utils import formataddr
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from corsheaders.defaults import default_headers

from common import redis_places
from common.loopback import is_loopback
from config import VERSION, checks, environment, static_files, stores, ways_in
from config import rates as default_rates
from config.rates import RATES

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"

env = environment.Environment(BASE_DIR / ".env")

# --- How it runs ------------------------------------------------------------------------------------------------------

# "embedded": one process, SQLite, nothing to install. "production": PostgreSQL, Redis, many processes, all checked.
MODE: str = env.str("ALVIAR_MODE", "embedded", choices=("embedded", "production"))
PRODUCTION = MODE == "production"
DEBUG = env.bool("DEBUG", False)
HOST: str = env.str("HOST", "127.0.0.1")
PORT: int = env.int("PORT", 8000, low=1, high=65_535)
WORKERS: int = env.int("WORKERS", 2 if PRODUCTION else 1, low=1, high=256)
# `make serve` starts a task worker beside its servers; off where that runs as a service of its own.
SERVE_TASKS = env.bool("SERVE_TASKS", True)
SECRET_KEY: str = env.str("SECRET_KEY", "")
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", [] if PRODUCTION else ["*"], check=environment.allowed_host)
ALLOWED_ORIGINS: list[str] = [environment.as_sent(o) for o in env.list("ALLOWED_ORIGINS", [], check=environment.origin)]
# The URL for a browser on this machine, for any HOST.
LISTEN_URL = f"http://{f'[{HOST}]' if ':' in HOST else HOST}:{PORT}"
LISTEN_URL = LISTEN_URL.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//127.0.0.1:")
# On this machine the host is `localhost`: a WebAuthn relying party cannot be an IP address.
OWN_URL = f"http://localhost:{PORT}" if is_loopback(HOST) else LISTEN_URL
PUBLIC_URL: str = environment.as_sent(env.str("PUBLIC_URL", OWN_URL, check=environment.http_url))
HTTPS_ONLY = env.bool("HTTPS_ONLY", PRODUCTION)
# The number of our own reverse proxies in front: as many entries of X-Forwarded-For are trusted, from the right.
TRUSTED_PROXY_COUNT: int = env.int("TRUSTED_PROXY_COUNT", 0, high=10)
BODY_LIMIT_BYTES: int = env.int("BODY_LIMIT_BYTES", 1024 * 1024, low=1024)
# All header lines of a request together; how long a connection may say nothing, and a request may take to arrive.
HEADER_BYTES: int = env.int("HEADER_BYTES", 64 * 1024, low=1024, high=1024 * 1024)
SILENT_SECONDS: int = env.int("SILENT_SECONDS", 10)  # 0: no limit, here and in the next
REQUEST_SECONDS: int = env.int("REQUEST_SECONDS", 30)
ATTACHMENT_BYTES: int = env.int("ATTACHMENT_BYTES", 10 * 1024 * 1024, low=1)
UPLOAD_BYTES: int = env.int("UPLOAD_BYTES", 100 * 1024 * 1024, low=1)
HTTP_THREADS: int = env.int("HTTP_THREADS", 8, low=1, high=256)
# Requests that hash a password have separate threads; if too many wait, the response is 503.
HASH_THREADS: int = env.int("HASH_THREADS", 2, low=1, high=64)
HASH_QUEUE: int = env.int("HASH_QUEUE", 64, high=100_000)
# Uploads wait for store and scanner on separate threads; if too many wait, the response is 503.
MEDIA_THREADS: int = env.int("MEDIA_THREADS", 4, low=1, high=64)
MEDIA_QUEUE: int = env.int("MEDIA_QUEUE", 64, high=100_000)
UPLOADS_AT_ONCE: int = env.int("UPLOADS_AT_ONCE", 20)
# How long SIGTERM lets sockets and requests end, and how long a start waits for the database and Redis.
DRAIN_SECONDS: int = env.int("DRAIN_SECONDS", 10, low=1, high=300)
STARTUP_WAIT_SECONDS: int = env.int("STARTUP_WAIT_SECONDS", 30, high=3_600)
MEDIA_ROOT: str = env.str("MEDIA_ROOT", str(VAR_DIR / "media"))
# An object store instead of that folder: s3://key:secret@host/bucket, or s3+http:// without TLS.
STORAGE_URL: str = env.str("STORAGE_URL", "", check=environment.storage_url)
ATTACHMENT_QUOTA_BYTES: int = env.int("ATTACHMENT_QUOTA_BYTES", 1024**3)  # of one person; 0: none
ATTACHMENT_SCAN_URL: str = env.str("ATTACHMENT_SCAN_URL", "", check=environment.scan_url)


def key_file(name: str) -> str:
    """Return the secret kept in `var/<name>`, made on first use with mode 600 (embedded default only)."""
    path = VAR_DIR / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(secret := secrets.token_urlsafe(48))
    return secret


if not SECRET_KEY and not PRODUCTION:
    SECRET_KEY = key_file("secret_key")
elif not SECRET_KEY:
    env.refuse(f"SECRET_KEY is missing. {checks.MAKE_A_KEY}")

# --- Where things are kept --------------------------------------------------------------------------------------------

DATABASE_URL: str = env.str("DATABASE_URL", f"sqlite:///{VAR_DIR / 'alviar.sqlite3'}", check=environment.database_url)
DATABASE_POOL_MAX: int = env.int("DATABASE_POOL_MAX", 20, low=1, high=1_000)
# How long one request may wait for the database in all (0: for ever), and of that for a row lock.
DATABASE_TIMEOUT_MS: int = env.int("DATABASE_TIMEOUT_MS", 5_000)
DATABASE_LOCK_TIMEOUT_MS: int = env.int("DATABASE_LOCK_TIMEOUT_MS", 4_500)
# A pooler that hands out another connection for each transaction, so that nothing may be kept on a connection:
# prepared statements, server-side cursors, settings given at connect.
DATABASE_POOLED_BY: str = env.str("DATABASE_POOLED_BY", "none", choices=("none", "pgbouncer"))
DATABASE_PREPARE = env.bool("DATABASE_PREPARE", DATABASE_POOLED_BY == "none")
# A standby that serves history and search while it is not behind (common/postgresql/replica.py).
DATABASE_REPLICA_URL: str = env.str("DATABASE_REPLICA_URL", "", check=environment.postgresql_url)
REDIS_URL: str = env.str("REDIS_URL", "", check=stores.redis_urls)
REDIS_URLS = redis_places.split(REDIS_URL)
# What carries the wakes between processes, and where they share cache, rates and presence: config/stores.py.
WAKES_URL: str = env.str("WAKES_URL", "", check=stores.wakes_url)
WAKES_BACKEND, WAKES_URLS = stores.wakes(WAKES_URL, REDIS_URL)
SHARED_STORE = stores.shared(WAKES_URL, REDIS_URL)


def own_file(path: Path) -> None:
    """Create the database file with mode 600 before SQLite does; -wal and -shm inherit its mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(OSError):  # another owner, or read-only: SQLite reports the problem
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        for one in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            if one.exists() and one.stat().st_mode & 0o077:
                one.chmod(0o600)


def database(url: str) -> dict[str, Any]:
    """Return Django's database settings: a pool for PostgreSQL, a SQLite that loses no write to a lock."""
    import dj_database_url

    config: dict[str, Any] = dict(dj_database_url.parse(url))
    if config["ENGINE"].endswith("postgresql"):
        config["ENGINE"] = "common.postgresql"  # Django's, with limits of time
        config["OPTIONS"] = {
            **config.get("OPTIONS", {}),
            # `?pool=true` in a URL arrives as the string 'true', hence here. `min_size` 0: no thread waits at start-up.
            # `reconnect_timeout`: its back-off would otherwise go on for half a minute after an outage.
            "pool": {
                "min_size": 0,
                "max_size": DATABASE_POOL_MAX,
                "timeout": 3,
                "max_idle": 300,
                "reconnect_timeout": 3,
            },
            "connect_timeout": 3,
            # Detects a dead server within seconds instead of the system's quarter of an hour.
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 10,
            "keepalives_interval": 3,
            "keepalives_count": 3,
            # Statements of the hot paths are prepared. Arrays of any length share one plan: planned anew for each they
            # would cost three times as much.
            "prepare_threshold": 5 if DATABASE_PREPARE else None,
        }
        config["DISABLE_SERVER_SIDE_CURSORS"] = DATABASE_POOLED_BY != "none"
        if DATABASE_POOLED_BY == "none":  # PgBouncer refuses them, and sets them by itself (deploy/pgbouncer.ini)
            # Ends statements whose client has given up.
            config["OPTIONS"]["options"] = (
                f"-c lock_timeout={DATABASE_LOCK_TIMEOUT_MS} -c client_connection_check_interval=2000"
                " -c plan_cache_mode=force_generic_plan"
            )
    elif config["ENGINE"].endswith("sqlite3"):
        if config["NAME"] != ":memory:":
            own_file(Path(config["NAME"]))
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": DATABASE_TIMEOUT_MS / 1000 or 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
        config["TEST"] = {"NAME": str(VAR_DIR / f"test-{os.getpid()}.sqlite3")}
        config["CONN_MAX_AGE"] = None
    return config


DATABASES = {"default": database(DATABASE_URL)}
EMBEDDED_DATABASE = DATABASES["default"]["ENGINE"].endswith("sqlite3")
if DATABASE_REPLICA_URL and EMBEDDED_DATABASE:
    env.refuse("DATABASE_REPLICA_URL is set, but DATABASE_URL is SQLite, which has no standby.")
elif DATABASE_REPLICA_URL:
    DATABASES["replica"] = {**database(DATABASE_REPLICA_URL), "TEST": {"MIRROR": "default"}}
    DATABASE_ROUTERS = ["common.postgresql.replica.Router"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

if SHARED_STORE == "redis":
    CACHES: dict[str, Any] = {"default": {"BACKEND": "common.shared_cache.SharedCache", "LOCATION": REDIS_URLS}}
elif SHARED_STORE == "database":
    CACHES = {"default": {"BACKEND": "common.database_cache.DatabaseCache"}}
else:
    # The default is 300 entries, with which an attacker could evict a rate's count.
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
            "OPTIONS": {"MAX_ENTRIES": 100_000},
        }
    }

# --- Django -----------------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "daphne",
    "users.apps.UsersAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework_simplejwt",
    "rest_framework_simplejwt.token_blacklist",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "corsheaders",
    "channels",
    "django_tasks",
    "django_tasks_db",
    "common",
    "sessions",
    "users",
    "chat",
    "config",
]

MIDDLEWARE = [
    "common.request_id.RequestIdMiddleware",
    "config.access_log.AccessLogMiddleware",
    # The middleware between the short way and the door is asked once for each kind of plain request.
    "common.plain.ShortWay",
    "common.csp.ContentSecurityPolicyMiddleware",
    "common.caching.NoStoreMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "config.http.RefusalMiddleware",
    "django.middleware.common.CommonMiddleware",
    # What follows is for pages with cookies: the door leads plain requests of hot views past it.
    "common.plain.PlainDoor",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False
AUTH_USER_MODEL = "users.User"
AUTHENTICATION_BACKENDS = ["users.passwords.backends.LockoutBackend"]  # Django's own, under the lockout

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# Argon2id with OWASP's parameters; the others verify and upgrade older hashes at login.
PASSWORD_HASHERS = [
    "common.passwords.Argon2Hasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2SHA1PasswordHasher",
    "django.contrib.auth.hashers.BCryptSHA256PasswordHasher",
    "common.passwords.BCryptHasher",
    "django.contrib.auth.hashers.ScryptPasswordHasher",
]
ARGON2_MEMORY_KIB: int = env.int("ARGON2_MEMORY_KIB", 19_456)
ARGON2_TIME_COST: int = env.int("ARGON2_TIME_COST", 2)
ARGON2_PARALLELISM: int = env.int("ARGON2_PARALLELISM", 1)
PASSWORD_MAX_LENGTH: int = env.int("PASSWORD_MAX_LENGTH", 128, low=64, high=4_096)
PASSWORD_MIN_LENGTH: int = env.int("PASSWORD_MIN_LENGTH", 8)
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": PASSWORD_MIN_LENGTH},
    },
    {"NAME": "common.passwords.MaximumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "users.passwords.breached.BreachedPasswordValidator"},
]

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("fr", "Français"), ("ar", "العربية")]
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = True
FORMAT_MODULE_PATH = "config.formats"

STATIC_URL = "/static/"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        # Names with a digest, compressed once by collectstatic; at home straight from the packages.
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
WHITENOISE_MANIFEST_STRICT = False  # a server started without collectstatic answers plain names, not 500
STATIC_ROOT = str(env.str("STATIC_ROOT", str(VAR_DIR / "static")))
DOCS_ROOT = str(env.str("DOCS_ROOT", str(BASE_DIR / "site")))
WHITENOISE_USE_FINDERS = not PRODUCTION
WHITENOISE_AUTOREFRESH = False
WHITENOISE_ADD_HEADERS_FUNCTION = static_files.headers

DATA_UPLOAD_MAX_MEMORY_SIZE = BODY_LIMIT_BYTES

# --- HTTPS and browsers -----------------------------------------------------------------------------------------------

SECURE_SSL_REDIRECT = HTTPS_ONLY
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXY_COUNT else None
# Off by default: browsers enforce HSTS for its whole duration, even if we change it.
SECURE_HSTS_SECONDS: int = env.int("HSTS_SECONDS", 0, high=2 * 31_536_000)
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("HSTS_SUBDOMAINS", False)
SECURE_HSTS_PRELOAD = env.bool("HSTS_PRELOAD", False)
SILENCED_SYSTEM_CHECKS = ["security.W004", "security.W005", "security.W021"]  # the same, as a matter of course
SESSION_COOKIE_SECURE = HTTPS_ONLY
SESSION_COOKIE_NAME = "alviar_admin"
CSRF_COOKIE_SECURE = HTTPS_ONLY
# A proxy may forward another Host than the browser's: forms of our own pages are still ours.
CSRF_TRUSTED_ORIGINS = [*ALLOWED_ORIGINS, ways_in.origin_of(PUBLIC_URL)]
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"

CORS_ALLOWED_ORIGINS = ALLOWED_ORIGINS
CORS_URLS_REGEX = r"^/(api|\.well-known)/.*$"
CORS_ALLOW_HEADERS = [
    *default_headers, "accept-language", "device-fingerprint", "x-request-id", "range", "if-none-match", "if-range",
    "tus-resumable", "upload-length", "upload-metadata", "upload-offset",
    "x-http-method-override",
]  # fmt: skip
CORS_EXPOSE_HEADERS = [
    "X-Refresh-Replayed", "Retry-After", "X-Request-ID", "Content-Range", "Accept-Ranges", "ETag", "Location",
    "Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size", "Upload-Length", "Upload-Offset",
    "Upload-Expires", "Attachment-Uuid",
]  # fmt: skip

# --- REST -------------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "sessions.authentication.SessionJWTAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["common.drf.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["common.drf.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "common.drf.CursorPagination",
    "EXCEPTION_HANDLER": "common.errors.exception_handler",
    "DATETIME_FORMAT": None,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "PATH_CONVERTER_OVERRIDES": {"any_uuid": {"type": "string", "format": "uuid"}},
    "TITLE": "Alviar",
    "DESCRIPTION": "Accounts, sessions and chat for mobile apps. Guides, tutorial and the list of error codes: "
    "[the documentation](/docs/). The socket: [AsyncAPI](/api/asyncapi/).",
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "ENABLE_DJANGO_DEPLOY_CHECK": False,  # `make check` validates the document by itself
    "SERVE_AUTHENTICATION": [],
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "ConversationKindEnum": "chat.models.Conversation.Kind",
        "RoleEnum": "chat.models.Membership.Role",
        "ReportStatusEnum": "chat.models.Report.Status",
    },
    "SCHEMA_PATH_PREFIX": r"/api/",
    "PREPROCESSING_HOOKS": ["config.schema.canonical_paths"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "config.schema.one_error_body",
        "users.http.schema.closing_takes_a_password",
        "config.operations.in_the_order_of_a_life",
        "config.refusals.with_refusals",
        "config.examples.with_examples",
    ],
    "SORT_OPERATIONS": False,
}

# --- Tokens and sessions ----------------------------------------------------------------------------------------------

ACCESS_TOKEN_LIFETIME: int = env.int("ACCESS_TOKEN_LIFETIME", 3_600, low=1)  # seconds
SESSION_IDLE_LIFETIME: int = env.int("SESSION_IDLE_LIFETIME", 7 * 86_400, low=1)
SESSION_ABSOLUTE_LIFETIME: int = env.int("SESSION_ABSOLUTE_LIFETIME", 30 * 86_400, low=1)
REMEMBER_ME_IDLE_LIFETIME: int = env.int("REMEMBER_ME_IDLE_LIFETIME", 30 * 86_400, low=1)
REMEMBER_ME_ABSOLUTE_LIFETIME: int = env.int("REMEMBER_ME_ABSOLUTE_LIFETIME", 90 * 86_400, low=1)
# How long an authentication counts as fresh.
REAUTH_SECONDS: int = env.int("REAUTH_SECONDS", 900, low=1)
REFRESH_REUSE_INTERVAL: int = env.int("REFRESH_REUSE_INTERVAL", 30, high=60)  # 0 to 60 seconds
JWT_ALGORITHM: str = env.str("JWT_ALGORITHM", "HS256", choices=("HS256", "EdDSA", "RS256"))
JWT_SIGNING_KEYS: list[str] = env.list("JWT_SIGNING_KEYS", [])  # kid:key, the first signs, all verify
JWT_ISSUER: str = env.str("JWT_ISSUER", "")
JWT_AUDIENCE: str = env.str("JWT_AUDIENCE", "")
JWT_LEEWAY: int = env.int("JWT_LEEWAY", 20, high=300)  # seconds
GEOIP_DATABASE: str = env.str("GEOIP_DATABASE", "")
ENDED_SESSION_RETENTION_DAYS: int = env.int("ENDED_SESSION_RETENTION_DAYS", 30)

# What other tools read of simplejwt; the tokens themselves are made by `sessions.tokens` with the key ring.
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(seconds=ACCESS_TOKEN_LIFETIME),
    "REFRESH_TOKEN_LIFETIME": timedelta(seconds=SESSION_IDLE_LIFETIME),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
    "UPDATE_LAST_LOGIN": True,
    "ALGORITHM": JWT_ALGORITHM,
    "SIGNING_KEY": SECRET_KEY,
    "AUTH_HEADER_TYPES": ("Bearer",),
    "USER_ID_FIELD": "id",
    "USER_ID_CLAIM": "user_id",
    "LEEWAY": JWT_LEEWAY,
}

# --- Accounts ---------------------------------------------------------------------------------------------------------

REGISTRATION_OPEN = env.bool("REGISTRATION_OPEN", True)
EMAIL_VERIFICATION: str = env.str("EMAIL_VERIFICATION", "optional", choices=("optional", "mandatory"))
LOCKOUT_ATTEMPTS: int = env.int("LOCKOUT_ATTEMPTS", 5)  # 0: no lockout
LOCKOUT_SECONDS: int = env.int("LOCKOUT_SECONDS", 1_800)
PASSWORD_RESET_LIFETIME: int = env.int("PASSWORD_RESET_LIFETIME", 3_600, low=1)
EMAIL_VERIFICATION_LIFETIME: int = env.int("EMAIL_VERIFICATION_LIFETIME", 86_400, low=1)
# How long "Was it you?" in a security notice can be answered.
NOTICE_LINK_LIFETIME: int = env.int("NOTICE_LINK_LIFETIME", 7 * 86_400, low=1)
SECURITY_EVENT_RETENTION_DAYS: int = env.int("SECURITY_EVENT_RETENTION_DAYS", 365)
# What people know the product by: in mails, on the pages that these lead to, in the admin.
PRODUCT_NAME: str = env.str("PRODUCT_NAME", "Alviar", check=environment.one_line)
BRAND_COLOUR: str = env.str("BRAND_COLOUR", "#0b5cad", check=environment.colour)
BRAND_LOGO_URL: str = env.str("BRAND_LOGO_URL", "", check=environment.https_url)
BRAND_ADDRESS: str = env.str("BRAND_ADDRESS", "", check=environment.one_line)
# Opens the app on a phone: a scheme of its own (alviar://home) or a universal link.
PUBLIC_APP_URL: str = env.str("PUBLIC_APP_URL", "", check=environment.app_url)
# The name that authenticator apps, passkey managers and text messages show.
RP_NAME: str = env.str("RP_NAME", PRODUCT_NAME)
TOTP_ISSUER: str = env.str("TOTP_ISSUER", RP_NAME)
# The relying party of passkeys: the host of PUBLIC_URL or a parent domain. Changing it invalidates every passkey.
RP_ID: str = env.str("RP_ID", ways_in.host_of(PUBLIC_URL))
# Native apps that share them: ios:TEAM.bundle and android:package:SHA256 of the signing certificate.
PASSKEY_APPS: list[str] = env.list("PASSKEY_APPS", [], check=ways_in.passkey_app)
PASSKEY_ORIGINS: list[str] = ways_in.passkey_origins(PUBLIC_URL, ALLOWED_ORIGINS, RP_ID, PASSKEY_APPS)
EMAIL_CODE_LOGIN = env.bool("EMAIL_CODE_LOGIN", True)
# Providers for sign-in: google, apple, or any NAME with SOCIAL_NAME_ISSUER and SOCIAL_NAME_CLIENT_IDS.
SOCIAL_PROVIDERS: list[str] = env.list("SOCIAL_PROVIDERS", [], check=ways_in.provider_name)
SOCIAL: dict[str, dict[str, Any]] = ways_in.social(env, SOCIAL_PROVIDERS)
# The SMS sender (users/phone/senders.py). Embedded: files in var/sms.
SMS_URL: str = env.str("SMS_URL", "" if PRODUCTION else f"file://{VAR_DIR / 'sms'}", check=ways_in.sms_url)
SMS_BODY: str = env.str("SMS_BODY", "")
SMS_TOKEN: str = env.str("SMS_TOKEN", "")
SMS_COUNTRIES: list[str] = [code.upper() for code in env.list("SMS_COUNTRIES", [], check=ways_in.country)]
# Count/unit like rates; 0 means no limit. Beyond one no SMS is sent.
SMS_BUDGETS: dict[str, str] = {
    name: env.str(f"SMS_BUDGET_{name.upper()}", default, check=environment.rate)
    for name, default in default_rates.SMS_BUDGETS.items()
}
BREACHED_PASSWORDS_FILE: str = env.str("BREACHED_PASSWORDS_FILE", "")

# One rate each, "30/min"; 0 means none. Defaults and names stand in config/rates.py.
RATE_LIMITS: dict[str, str] = {
    name: env.str(f"RATE_{name.upper()}", default, check=environment.rate) for name, default in RATES.items()
}

# --- Mail and tasks ---------------------------------------------------------------------------------------------------

EMAIL_URL: str = env.str("EMAIL_URL", "", check=environment.email_url)
MAIL_DIR: str = env.str("MAIL_DIR", "")
DEFAULT_FROM_EMAIL: str = env.str("DEFAULT_FROM_EMAIL", formataddr((PRODUCT_NAME, "no-reply@localhost")))
EMAIL_TIMEOUT: int = env.int("EMAIL_TIMEOUT", 10, low=1)
if EMAIL_URL:
    # The URL's own timeout has priority; without any, a hanging mail server would block the worker for ever.
    vars().update({"EMAIL_TIMEOUT": EMAIL_TIMEOUT, **environment.email_settings(EMAIL_URL)})
else:
    EMAIL_BACKEND = "users.mail.file_backend.EmailBackend"
    EMAIL_FILE_PATH = MAIL_DIR or str(VAR_DIR / "mail")

TASKS = {"default": {"BACKEND": "common.tasks.DatabaseBackend", "QUEUES": ["default", "push"]}}
# The worker is a thread of the one embedded process, and a process of its own in production.
TASKS_IN_PROCESS = env.bool("TASKS_IN_PROCESS", not PRODUCTION)
TASK_THREADS: int = env.int("TASK_THREADS", 2, low=1, high=64)
# Pushes have separate threads, so that a hanging push service does not delay mails.
PUSH_THREADS: int = env.int("PUSH_THREADS", 2, low=1, high=64)
TASK_RETENTION_DAYS: int = env.int("TASK_RETENTION_DAYS", 7, low=1)

# --- Push -------------------------------------------------------------------------------------------------------------

VAPID_PRIVATE_KEY: str = env.str("VAPID_PRIVATE_KEY", "")  # unset: derived from SECRET_KEY
VAPID_SUBJECT: str = env.str("VAPID_SUBJECT", "", check=environment.contact)
PUSH_PRIVATE_ENDPOINTS = env.bool("PUSH_PRIVATE_ENDPOINTS", False)
FCM_CREDENTIALS: str = env.str("FCM_CREDENTIALS", "")  # the JSON of a service account
FCM_URL: str = env.str("FCM_URL", "https://fcm.googleapis.com", check=environment.http_url).rstrip("/")
APNS_KEY: str = env.str("APNS_KEY", "")  # the .p8
APNS_KEY_ID: str = env.str("APNS_KEY_ID", "")
APNS_TEAM_ID: str = env.str("APNS_TEAM_ID", "")
APNS_TOPIC: str = env.str("APNS_TOPIC", "")
APNS_URL: str = env.str("APNS_URL", "https://api.push.apple.com", check=environment.http_url).rstrip("/")
APNS_SANDBOX_URL: str = env.str(
    "APNS_SANDBOX_URL", "https://api.sandbox.push.apple.com", check=environment.http_url
).rstrip("/")
EXPO_PUSH = env.bool("EXPO_PUSH", True)
EXPO_ACCESS_TOKEN: str = env.str("EXPO_ACCESS_TOKEN", "")
EXPO_URL: str = env.str("EXPO_URL", "https://exp.host", check=environment.http_url).rstrip("/")
# Parallel requests of each task, seconds per request, seconds for which a push service keeps an undelivered push,
# attempts in all.
PUSH_CONCURRENCY: int = env.int("PUSH_CONCURRENCY", 8, low=1, high=256)
PUSH_TIMEOUT: int = env.int("PUSH_TIMEOUT", 10, low=1, high=60)
PUSH_TTL: int = env.int("PUSH_TTL", 86_400, high=2_419_200)
PUSH_ATTEMPTS: int = env.int("PUSH_ATTEMPTS", 6, low=1, high=20)
# Messages within this many milliseconds are handled together.
PUSH_COLLECT_MS: int = env.int("PUSH_COLLECT_MS", 150, high=10_000)

# --- Chat -------------------------------------------------------------------------------------------------------------

CHAT_FRAME_BYTES: int = env.int("CHAT_FRAME_BYTES", 65_536, low=1_024)
CHAT_CONTENT_CHARS: int = env.int("CHAT_CONTENT_CHARS", 4_000, low=1)
CHAT_MESSAGES_PER_10S: int = env.int("CHAT_MESSAGES_PER_10S", 20)
CHAT_FRAMES_PER_MINUTE: int = env.int("CHAT_FRAMES_PER_MINUTE", 240)
CHAT_HEARTBEAT_MS: int = env.int("CHAT_HEARTBEAT_MS", 25_000, low=100)
CHAT_HEARTBEAT_TIMEOUT: int = env.int("CHAT_HEARTBEAT_TIMEOUT", 60)
CHAT_TOKEN_EXPIRING: int = env.int("CHAT_TOKEN_EXPIRING", 300)
CHAT_MAX_AGE: int = env.int("CHAT_MAX_AGE", 12 * 3_600)
CHAT_SWEEP_SECONDS: int = env.int("CHAT_SWEEP_SECONDS", 15, low=1)
CHAT_SOCKETS_PER_SESSION: int = env.int("CHAT_SOCKETS_PER_SESSION", 3)
CHAT_SOCKETS_PER_USER: int = env.int("CHAT_SOCKETS_PER_USER", 10)
CHAT_BAD_FRAMES_PER_MINUTE: int = env.int("CHAT_BAD_FRAMES_PER_MINUTE", 5)
CHAT_TYPING_SECONDS: int = env.int("CHAT_TYPING_SECONDS", 6, low=1)
CHAT_STUCK_SECONDS: int = env.int("CHAT_STUCK_SECONDS", 5, low=1)
# Events sent by one `resume` per conversation and in total; a conversation with more gets a `gap`.
CHAT_RESUME_EVENTS_EACH: int = env.int("CHAT_RESUME_EVENTS_EACH", 200, low=1)
CHAT_RESUME_EVENTS: int = env.int("CHAT_RESUME_EVENTS", 1_000, low=1)
# Handshakes that are authenticated at one time, and seconds that one may wait for its place (then 4411). Clients give
# up after 10 s.
CHAT_HANDSHAKES_AT_ONCE: int = env.int("CHAT_HANDSHAKES_AT_ONCE", 128, low=1)
CHAT_HANDSHAKE_WAIT_SECONDS: int = env.int("CHAT_HANDSHAKE_WAIT_SECONDS", 8, low=1)
CHAT_DATABASE_THREADS: int = env.int("CHAT_DATABASE_THREADS", 4, low=1)
# Write complete frames to uvicorn's transport; other servers get them by ASGI in any case.
CHAT_PREFRAMED = env.bool("CHAT_PREFRAMED", True)
CHAT_GROUP_MEMBERS: int = env.int("CHAT_GROUP_MEMBERS", 1_000)
# Days after which messages are deleted for everybody, by kind of conversation; 0: never.
CHAT_RETENTION_DIRECT_DAYS: int = env.int("CHAT_RETENTION_DIRECT_DAYS", 0)
CHAT_RETENTION_GROUP_DAYS: int = env.int("CHAT_RETENTION_GROUP_DAYS", 0)
CHAT_EDIT_WINDOW: int = env.int("CHAT_EDIT_WINDOW", 0)  # seconds in which a message may be edited; 0: always

# --- Logs -------------------------------------------------------------------------------------------------------------

LOG_LEVEL: str = env.str("LOG_LEVEL", "INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
LOG_FORMAT: str = env.str("LOG_FORMAT", "json" if PRODUCTION else "console", choices=("console", "json"))
LOGGING_CONFIG = "config.logs.configure"
LOGGING = {"level": LOG_LEVEL, "format": LOG_FORMAT}
# Who may read /metrics: `Authorization: Bearer <METRICS_TOKEN>`; without one, loopback alone.
METRICS_TOKEN: str = env.str("METRICS_TOKEN", "")
# A separate port on 127.0.0.1 that serves only /metrics; 0: none.
METRICS_PORT: int = env.int("METRICS_PORT", 0, high=65_535)

# --- Traces and error reports (docs/observability.md) ----------------------------------------------------------------

SENTRY_DSN: str = env.str("SENTRY_DSN", "", check=environment.sentry_dsn)
SENTRY_ENVIRONMENT: str = env.str("SENTRY_ENVIRONMENT", MODE)
OTEL_EXPORTER_OTLP_ENDPOINT: str = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", "", check=environment.otlp_endpoint).rstrip(
    "/"
)
OTEL_SERVICE_NAME: str = env.str("OTEL_SERVICE_NAME", "alviar")
TRACE_SAMPLE_RATIO: float = env.float("TRACE_SAMPLE_RATIO", 0.1, high=1)
if OTEL_EXPORTER_OTLP_ENDPOINT:
    MIDDLEWARE.insert(0, "config.telemetry.TracingMiddleware")

if faults := env.faults():
    # Includes the checks of the values that could be read, so that one start reports everything.
    raise environment.SettingsRefused([*faults, *checks.faults_of(SimpleNamespace(**vars()))])
