
import uuid_utils.compat
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='AuditEvent',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('occurred_at', models.DateTimeField(auto_now_add=True, db_index=True)),
                ('actor', models.CharField(max_length=150)),
                ('action', models.CharField(db_index=True, max_length=60)),
                ('subject_type', models.CharField(max_length=40)),
                ('subject_id', models.CharField(db_index=True, max_length=40)),
                ('subject_name', models.CharField(blank=True, max_length=150)),
                ('project_id', models.UUIDField(blank=True, db_index=True, null=True)),
                ('details', models.JSONField(blank=True, default=dict)),
            ],
            options={
                'ordering': ['-occurred_at', '-id'],
                'constraints': [models.CheckConstraint(condition=models.Q(models.Q(('actor', ''), _negated=True), models.Q(('action', ''), _negated=True)), name='audit_event_says_who_and_what')],
            },
        ),
    ]
