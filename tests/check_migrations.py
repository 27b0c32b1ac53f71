"""`python -m tests.check_migrations`: fails if a model has changed without its migration."""

import os

import tests.environment  # noqa: F401  (secrets and a data directory, before Django reads its settings)

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llm_proxy_site.settings")
    import django
    from django.core.management import call_command

    django.setup()
    call_command("makemigrations", check=True, dry_run=True)
