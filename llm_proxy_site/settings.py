"""All configuration, and the only module that reads the environment.

Every variable is described in docs/settings.md. Bad and missing values are reported by the system
checks in checks.py, never by a traceback.
"""

from datetime import timedelta
from pathlib import Path

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
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS") or ["localhost", "127.0.0.1", "[::1]"]
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")
SECURE_COOKIES = env.flag("SECURE_COOKIES", default=False)
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

# Access tokens
TOKEN_DEFAULT_TTL: timedelta = env.read("TOKEN_DEFAULT_TTL", parse_ttl, timedelta(hours=24))
DIRECTORY_MAX_TOKENS = env.whole("DIRECTORY_MAX_TOKENS", 10_000)
DIRECTORY_TTL_SECONDS = env.seconds("DIRECTORY_TTL_SECONDS", 60)
DIRECTORY_POLL_SECONDS = env.seconds("DIRECTORY_POLL_SECONDS", 1)
DIRECTORY_GRACE: timedelta = env.read("DIRECTORY_GRACE", parse_period, timedelta(hours=1))

# The ledger of requests
LEDGER_BATCH_SECONDS = env.seconds("LEDGER_BATCH_SECONDS", 1)
LEDGER_MAX_PENDING = env.whole("LEDGER_MAX_PENDING", 100_000)
SPOOL_DIR = Path(env.text("SPOOL_DIR", str(DATA_DIR / "spool"))).absolute()
SPOOL_MAX_BYTES = env.whole("SPOOL_MAX_BYTES", 1024 * 1024 * 1024, minimum=1024 * 1024)

# Limits: in this process's memory, or in a Redis for any number of processes.
REDIS_URL = env.text("REDIS_URL")
REDIS_TIMEOUT_SECONDS = env.seconds("REDIS_TIMEOUT_SECONDS", 1)
LIMITS_WITHOUT_REDIS = env.text("LIMITS_WITHOUT_REDIS", "refuse").lower()
LIMITS_LEASE_SECONDS = env.seconds("LIMITS_LEASE_SECONDS", 15, minimum=3)

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
        # the price is one fsync a batch.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=20000;",
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
    SILENCED_SYSTEM_CHECKS = ["models.W037"]  # it has no partial indexes, and does without

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

INSTALLED_APPS = [
    "llm_proxy_site",
    "daphne",
    "channels",
    "whitenoise.runserver_nostatic",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "projects",
    "tokens",
    "usage",
    "audit",
    "proxy",
]
MIDDLEWARE = [
    "llm_proxy_site.health.middleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
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
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

LOGGING_CONFIG = "llm_proxy_site.logs.configure"
LOGGING = logging_config(level=LOG_LEVEL, style=LOG_FORMAT)
