import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from projects.encryption import encrypt


def encrypt_secrets(apps, schema_editor):
    """Those that django-otp has kept as they are. A code that was taken is not taken again."""
    using = schema_editor.connection.alias
    apps_of_people = apps.get_model("people", "AuthenticatorApp").objects.using(using)
    for device in apps.get_model("otp_totp", "TOTPDevice").objects.using(using):
        apps_of_people.create(
            user_id=device.user_id,
            name=device.name,
            confirmed=device.confirmed,
            last_used_at=device.last_used_at,
            ciphertext=encrypt(device.key),
            drift=device.drift,
            last_step=device.last_t,
        )
        device.delete()


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('otp_totp', '0003_add_timestamps'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='AuthenticatorApp',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('ciphertext', models.TextField(editable=False)),
                ('name', models.CharField(help_text='The human-readable name of this device.', max_length=64)),
                ('confirmed', models.BooleanField(default=True, help_text='Is this device ready for use?')),
                ('throttling_failure_timestamp', models.DateTimeField(blank=True, default=None, help_text='A timestamp of the last failed verification attempt. Null if last attempt succeeded.', null=True)),
                ('throttling_failure_count', models.PositiveIntegerField(default=0, help_text='Number of successive failed attempts.')),
                ('created_at', models.DateTimeField(auto_now_add=True, help_text='The date and time when this device was initially created in the system.', null=True)),
                ('last_used_at', models.DateTimeField(blank=True, help_text='The most recent date and time this device was used.', null=True)),
                ('drift', models.SmallIntegerField(default=0, help_text='Steps by which its clock differs from ours.')),
                ('last_step', models.BigIntegerField(default=-1, help_text='Of the last code that was taken.')),
                ('user', models.ForeignKey(help_text='The user that this device belongs to.', on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('ciphertext', ''), _negated=True), name='authenticator_app_has_a_secret')],
            },
        ),
        migrations.RunPython(encrypt_secrets, migrations.RunPython.noop),
    ]
