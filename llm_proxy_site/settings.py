"""All configuration, and the only module that reads the environment.

Every variable is described in docs/settings.md. Bad and missing values are reported by the system
checks in checks.py, never by a traceback.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

from llm_proxy_site.environment import MYSQL, SQLITE, Environment
from llm_proxy_site.logs import logging_config
from projects.lifetime import parse_period
from tokens.lifetime import parse_ttl

BASE_DIR = Path(__file__).resolve().parent.parent

ENVIRONMENT = env = Environment()
env.read_file(BASE_DIR / ".env")
DATA_DIR = Path(env.text("DATA_DIR", str(BASE_DIR / "data"))).absolute()
SECRETS_FILE = DATA_DIR / "secrets.env"
env.read_file(SECRETS_FILE)

# Secrets: none has a default; `manage.py setup` makes them once.
SECRET_KEY = env.text("SECRET_KEY")
ENCRYPTION_KEYS = env.words("ENCRYPTION_KEYS")
MISSING_SECRETS = [name for name in ("SECRET_KEY", "ENCRYPTION_KEYS") if not globals()[name]]

# The server
DEBUG = env.flag("DEBUG", default=False)
NAMED_HOSTS = env.words("ALLOWED_HOSTS")  # set on purpose
ALLOWED_HOSTS = NAMED_HOSTS or ["localhost", "127.0.0.1", "[::1]"]
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")
USE_X_FORWARDED_PROTO = env.flag("USE_X_FORWARDED_PROTO", default=False)
SECURE_COOKIES = env.flag("SECURE_COOKIES", default=USE_X_FORWARDED_PROTO)
HSTS_SECONDS = env.whole("HSTS_SECONDS", 0, minimum=0)
SERVER = env.text("SERVER", "daphne").lower()
WORKERS = env.workers("WORKERS", 1)
SHUTDOWN_GRACE_SECONDS = env.seconds("SHUTDOWN_GRACE_SECONDS", 30)
RESTART_GRACE_SECONDS = env.seconds("RESTART_GRACE_SECONDS", 600)
TRUSTED_PROXY_COUNT = env.whole("TRUSTED_PROXY_COUNT", 0, minimum=0)
REQUEST_MAX_BYTES = env.whole("REQUEST_MAX_BYTES", 600 * 1024 * 1024)
CLIENT_HEADER_TIMEOUT_SECONDS = env.seconds("CLIENT_HEADER_TIMEOUT_SECONDS", 10)
CLIENT_IDLE_TIMEOUT_SECONDS = env.seconds("CLIENT_IDLE_TIMEOUT_SECONDS", 100)
CLIENT_BODY_TIMEOUT_SECONDS = env.seconds("CLIENT_BODY_TIMEOUT_SECONDS", 30)
CLIENT_BODY_MIN_BYTES_PER_SECOND = env.whole("CLIENT_BODY_MIN_BYTES_PER_SECOND", 100, minimum=0)
CLIENT_WRITE_TIMEOUT_SECONDS = env.seconds("CLIENT_WRITE_TIMEOUT_SECONDS", 120)
MAX_CONNECTIONS = env.whole("MAX_CONNECTIONS", 5000)
MAX_CONNECTIONS_PER_ADDRESS = env.whole("MAX_CONNECTIONS_PER_ADDRESS", 1000, minimum=0)
WEBSOCKET_IDLE_SECONDS = env.seconds("WEBSOCKET_IDLE_SECONDS", 600)
WEBSOCKET_MAX_MESSAGE_BYTES = env.whole("WEBSOCKET_MAX_MESSAGE_BYTES", 32 * 1024 * 1024, minimum=1024)
LOG_LEVEL = env.text("LOG_LEVEL", "INFO").upper()
LOG_FORMAT = env.text("LOG_FORMAT", "json").lower()
ACCESS_LOG_SAMPLE = env.share("ACCESS_LOG_SAMPLE", 1)
ACCESS_LOG_SLOW_SECONDS = env.seconds("ACCESS_LOG_SLOW_SECONDS", 30)

# Upstream
UPSTREAM_BASE_URL = env.text("UPSTREAM_BASE_URL", "https://api.openai.com/v1")
UPSTREAM_CONNECT_TIMEOUT_SECONDS = env.seconds("UPSTREAM_CONNECT_TIMEOUT_SECONDS", 10)
UPSTREAM_READ_TIMEOUT_SECONDS = env.seconds("UPSTREAM_READ_TIMEOUT_SECONDS", 600)
UPSTREAM_FIRST_BYTE_TIMEOUT_SECONDS = env.seconds("UPSTREAM_FIRST_BYTE_TIMEOUT_SECONDS", 0, minimum=0)
UPSTREAM_TOTAL_TIMEOUT_SECONDS = env.seconds("UPSTREAM_TOTAL_TIMEOUT_SECONDS", 0, minimum=0)
UPSTREAM_MAX_RETRIES = env.whole("UPSTREAM_MAX_RETRIES", 2, minimum=0)
UPSTREAM_RETRY_BUDGET_PERCENT = env.whole("UPSTREAM_RETRY_BUDGET_PERCENT", 10, minimum=0)
BREAKER_FAILURE_PERCENT = env.whole("BREAKER_FAILURE_PERCENT", 50, minimum=0)
BREAKER_MIN_REQUESTS = env.whole("BREAKER_MIN_REQUESTS", 20)
BREAKER_WINDOW_SECONDS = env.seconds("BREAKER_WINDOW_SECONDS", 30)
BREAKER_OPEN_SECONDS = env.seconds("BREAKER_OPEN_SECONDS", 15)
KEY_QUOTA_COOLDOWN_SECONDS = env.seconds("KEY_QUOTA_COOLDOWN_SECONDS", 60)
KEY_REFUSED_COOLDOWN_SECONDS = env.seconds("KEY_REFUSED_COOLDOWN_SECONDS", 600)
UPSTREAM_MAX_CONNECTIONS = env.whole("UPSTREAM_MAX_CONNECTIONS", 1000)
PROVIDERS_FILE = Path(env.text("PROVIDERS_FILE", str(BASE_DIR / "proxy" / "providers.yaml")))

# People who sign in
SESSION_AGE: timedelta = env.period("SESSION_AGE", timedelta(hours=12), minimum=timedelta(minutes=1))
SIGN_IN_MAX_PER_ADDRESS = env.whole("SIGN_IN_MAX_PER_ADDRESS", 30)
SIGN_IN_MAX_PER_NAME = env.whole("SIGN_IN_MAX_PER_NAME", 10)
SIGN_IN_WINDOW: timedelta = env.period("SIGN_IN_WINDOW", timedelta(minutes=5), minimum=timedelta(seconds=1))

SECOND_FACTOR_REQUIRED = env.flag("SECOND_FACTOR_REQUIRED", default=False)

# Single sign-on: an OpenID Connect provider that vouches for them. Without an issuer there is none.
SSO_ISSUER = env.text("SSO_ISSUER")
SSO_CLIENT_ID = env.text("SSO_CLIENT_ID")
SSO_CLIENT_SECRET = env.text("SSO_CLIENT_SECRET")
SSO_NAME = env.text("SSO_NAME", "single sign-on")
SSO_SCOPES = env.text("SSO_SCOPES", "openid email profile")
SSO_ROLE_CLAIM = env.text("SSO_ROLE_CLAIM", "groups")
SSO_VIEWERS = env.words("SSO_VIEWERS")
SSO_OPERATORS = env.words("SSO_OPERATORS")
SSO_ADMINS = env.words("SSO_ADMINS")
SSO_EMAIL_DOMAINS = env.words("SSO_EMAIL_DOMAINS")
SSO_CREATE_USERS = env.flag("SSO_CREATE_USERS", default=True)
SSO_ONLY = env.flag("SSO_ONLY", default=False)
SSO_CA_FILE = env.text("SSO_CA_FILE")

# The audit trail
AUDIT_RETENTION: timedelta | None = env.period("AUDIT_RETENTION", None, minimum=timedelta(days=1))
AUDIT_FILE: Path | None = env.read("AUDIT_FILE", Path, None)

# The management API
MANAGEMENT_TOKEN = env.text("MANAGEMENT_TOKEN")
MANAGEMENT_REQUESTS_PER_MINUTE = env.whole("MANAGEMENT_REQUESTS_PER_MINUTE", 600)

# /metrics: off, if neither is set
METRICS_TOKEN = env.text("METRICS_TOKEN")
METRICS_NETWORKS = env.networks("METRICS_NETWORKS")

# Traces, by OpenTelemetry's own names: off, if there is no endpoint
TRACES_COLLECTOR = env.url("OTEL_EXPORTER_OTLP_ENDPOINT", below="/v1/traces")
TRACES_ENDPOINT = env.url("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or TRACES_COLLECTOR
TRACES_SECRET_HEADERS = env.pairs("OTEL_EXPORTER_OTLP_HEADERS")
TRACES_PROTOCOL = env.text("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf").lower()
TRACES_CA_FILE = env.text("OTEL_EXPORTER_OTLP_CERTIFICATE")
TRACES_SERVICE_NAME = env.text("OTEL_SERVICE_NAME", "llm-proxy")
TRACES_RESOURCE = env.pairs("OTEL_RESOURCE_ATTRIBUTES")
TRACES_SAMPLER = env.text("OTEL_TRACES_SAMPLER", "parentbased_always_on").lower()
TRACES_SAMPLER_RATIO = env.share("OTEL_TRACES_SAMPLER_ARG", 1.0)
TRACE_CONTEXT_UPSTREAM = env.flag("TRACE_CONTEXT_UPSTREAM", default=False)

# Access tokens
TOKEN_DEFAULT_TTL: timedelta = env.read("TOKEN_DEFAULT_TTL", parse_ttl, timedelta(hours=24))
DIRECTORY_MAX_TOKENS = env.whole("DIRECTORY_MAX_TOKENS", 10_000)
DIRECTORY_TTL_SECONDS = env.seconds("DIRECTORY_TTL_SECONDS", 60)
DIRECTORY_POLL_SECONDS = env.seconds("DIRECTORY_POLL_SECONDS", 1)
DIRECTORY_GRACE: timedelta = env.read("DIRECTORY_GRACE", parse_period, timedelta(hours=1))
EXCHANGE_CA_FILE = env.text("EXCHANGE_CA_FILE")
EXCHANGE_LOOPBACK_HTTP = env.flag("EXCHANGE_LOOPBACK_HTTP", default=False)

# The ledger of requests
LEDGER_BATCH_SECONDS = env.seconds("LEDGER_BATCH_SECONDS", 1)
LEDGER_MAX_PENDING = env.whole("LEDGER_MAX_PENDING", 100_000)
SPOOL_DIR = Path(env.text("SPOOL_DIR", str(DATA_DIR / "spool"))).absolute()
SPOOL_MAX_BYTES = env.whole("SPOOL_MAX_BYTES", 1024 * 1024 * 1024, minimum=1024 * 1024)

# Bodies, of projects that keep them
CAPTURE_MAX_BYTES = env.whole("CAPTURE_MAX_BYTES", 1024 * 1024, minimum=1024)
CAPTURE_MAX_RETENTION: timedelta = env.period(
    "CAPTURE_MAX_RETENTION", timedelta(days=30), minimum=timedelta(hours=1)
)
CAPTURE_MAX_PENDING_BYTES = env.whole("CAPTURE_MAX_PENDING_BYTES", 64 * 1024 * 1024, minimum=1024 * 1024)

# Limits: in this process's memory, or in a Redis for any number of processes.
REDIS_URL = env.text("REDIS_URL")
REDIS_TIMEOUT_SECONDS = env.seconds("REDIS_TIMEOUT_SECONDS", 1)
LIMITS_WITHOUT_REDIS = env.text("LIMITS_WITHOUT_REDIS", "refuse").lower()
LIMITS_LEASE_SECONDS = env.seconds("LIMITS_LEASE_SECONDS", 15, minimum=3)

# What else processes share for a while: how often somebody tried to sign in. One process needs no Redis.
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "llm-proxy",
        "OPTIONS": {
            "socket_timeout": REDIS_TIMEOUT_SECONDS,
            "socket_connect_timeout": REDIS_TIMEOUT_SECONDS,
        },
    }
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}

# TLS is a front's, which redirects to it (W008). llm_proxy.W050 asks for cookies that need it (W012, W016)
# where others than this machine come. Whether browsers must keep to it (W004), under other names too (W005),
# and for ever (W021), is for those to say whom the domain belongs to.
SILENCED_SYSTEM_CHECKS = [f"security.W{number}" for number in ("004", "005", "008", "012", "016", "021")]

# Database: SQLite in the data directory, or what DATABASE_URL names.
DATABASES = {"default": env.database("DATABASE_URL", DATA_DIR / "llm-proxy.db")}
if DATABASES["default"]["ENGINE"] == SQLITE:
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        # A transaction that will write takes the lock at its start, so it waits its turn instead of
        # failing half-way with "database is locked".
        "transaction_mode": "IMMEDIATE",
        # WAL: readers and the writer do not wait for each other. synchronous=FULL: a commit is on disk when
        # it returns, so that a power cut cannot bring a revoked token back; the ledger writes in batches, so
        # the price is one fsync a batch. A batch of a large ledger touches some 800 pages of 4 KiB: the cache
        # has room for several, and what one writes is not moved into the database with each.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=20000; "
        "PRAGMA cache_size=-16384; PRAGMA wal_autocheckpoint=4000;",
    }
else:
    # A database that does not answer must not hold up those who ask it, nor must a connection that has died.
    # Statements may take long all the same: migrations do.
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    DATABASES["default"]["OPTIONS"] = {"connect_timeout": 5} | DATABASES["default"].get("OPTIONS", {})
    if "postgresql" in DATABASES["default"]["ENGINE"]:
        # Who waits for an answer asks every few seconds whether the other side is there.
        DATABASES["default"]["OPTIONS"] = {
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        } | DATABASES["default"]["OPTIONS"]
if DATABASES["default"]["ENGINE"] == MYSQL:
    # Its client can only be told how long to wait for an answer: longer than a migration's statement takes.
    DATABASES["default"]["OPTIONS"] = {"read_timeout": 600, "write_timeout": 30} | DATABASES["default"][
        "OPTIONS"
    ]
    DATABASES["default"]["OPTIONS"] |= {
        "charset": "utf8mb4",
        # As PostgreSQL does: a transaction sees what others have committed, and locks only the rows it finds.
        "isolation_level": "read committed",
        # A value that does not fit is an error, never cut short.
        "init_command": "SET sql_mode = 'TRADITIONAL', innodb_lock_wait_timeout = 20",
    }
    DATABASES["default"]["TEST"] = {"CHARSET": "utf8mb4", "COLLATION": "utf8mb4_bin"}
    SILENCED_SYSTEM_CHECKS += ["models.W037"]  # it has no partial indexes, and does without

# What the server does by itself, without cron
SCHEDULE = env.flag("SCHEDULE", default=False)
SECOND = timedelta(seconds=1)
SCHEDULE_CLEANUP_EVERY: timedelta = env.period("SCHEDULE_CLEANUP_EVERY", timedelta(hours=1), minimum=SECOND)
SCHEDULE_PRUNE_EVERY: timedelta = env.period("SCHEDULE_PRUNE_EVERY", timedelta(days=1), minimum=SECOND)
SCHEDULE_PRUNE_OLDER_THAN: timedelta | None = env.period(
    "SCHEDULE_PRUNE_OLDER_THAN", None, minimum=timedelta(days=1)
)
SCHEDULE_BACKUP_EVERY: timedelta | None = env.period("SCHEDULE_BACKUP_EVERY", None, minimum=SECOND)
SCHEDULE_BACKUP_DIR = Path(env.text("SCHEDULE_BACKUP_DIR", str(DATA_DIR / "backups"))).absolute()
SCHEDULE_BACKUP_KEEP = env.whole("SCHEDULE_BACKUP_KEEP", 7)

# What `chat` uses, by the names that other clients know
CHAT_TOKEN = env.text("OPENAI_API_KEY")
CHAT_BASE_URL = env.text("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1")

INSTALLED_APPS = [
    "llm_proxy_site",
    "channels",
    "whitenoise.runserver_nostatic",
    "llm_proxy_site.people.apps.ControlRoomConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "projects",
    "tokens",
    "usage",
    "audit",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "llm_proxy_site.people.apps.PeopleConfig",
    "llm_proxy_site.sso.apps.SsoConfig",
    "proxy",
]
MIDDLEWARE = [
    "llm_proxy_site.health.middleware",
    "llm_proxy_site.people.requests.middleware",
    "llm_proxy_site.security_headers.middleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "llm_proxy_site.api.middleware.middleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "llm_proxy_site.wrong_paths.middleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "llm_proxy_site.outages.DatabaseOutageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
ROOT_URLCONF = "llm_proxy_site.urls"
ASGI_APPLICATION = "llm_proxy_site.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# Sessions end that were begun by what is no longer here, so no password opens anything with SSO_ONLY.
AUTHENTICATION_BACKENDS = [
    *([] if SSO_ONLY else ["django.contrib.auth.backends.ModelBackend"]),
    *(["llm_proxy_site.sso.backend.SsoBackend"] if SSO_ISSUER else []),
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

OTP_TOTP_ISSUER = "LLM Proxy"
AUDIT_SCOPE = "projects.access.visible_project_ids"

LANGUAGE_CODE = "en-us"
FORMAT_MODULE_PATH = ["llm_proxy_site.formats"]
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True

SESSION_COOKIE_AGE = int(SESSION_AGE.total_seconds())
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SECURE_HSTS_SECONDS = HSTS_SECONDS
if USE_X_FORWARDED_PROTO:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

LOGGING_CONFIG = "llm_proxy_site.logs.configure"
LOGGING = logging_config(level=LOG_LEVEL, style=LOG_FORMAT)
