
import django.db.models.deletion
import projects.models
import uuid_utils.compat
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Project',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=100, unique=True)),
                ('base_url', models.CharField(blank=True, help_text="Where this project's requests go, as an SDK would be given it (with /v1). Empty: UPSTREAM_BASE_URL.", max_length=255, validators=[projects.models.validate_base_url], verbose_name='base URL')),
                ('is_active', models.BooleanField(default=True, verbose_name='active')),
                ('deactivated_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True, db_index=True)),
            ],
            options={
                'ordering': ['name'],
                'constraints': [models.CheckConstraint(condition=models.Q(('name', ''), _negated=True), name='project_has_a_name'), models.CheckConstraint(condition=models.Q(models.Q(('deactivated_at', None), ('is_active', True)), models.Q(('deactivated_at__isnull', False), ('is_active', False)), _connector='OR'), name='project_deactivation_has_its_instant')],
            },
        ),
        migrations.CreateModel(
            name='UpstreamKey',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('ciphertext', models.TextField(editable=False)),
                ('last_four', models.CharField(editable=False, max_length=4)),
                ('is_active', models.BooleanField(default=True, verbose_name='active')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True, db_index=True)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='upstream_keys', to='projects.project')),
            ],
            options={
                'ordering': ['created_at'],
                'constraints': [models.CheckConstraint(condition=models.Q(('ciphertext', ''), _negated=True), name='upstream_key_is_not_empty')],
            },
        ),
    ]
