
import django.db.models.deletion
import uuid_utils.compat
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('projects', '0001_initial'),
        ('tokens', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='UsageRecord',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('started_at', models.DateTimeField(db_index=True)),
                ('method', models.CharField(max_length=10)),
                ('endpoint', models.CharField(blank=True, help_text="The allowlist's template; empty: refused.", max_length=100)),
                ('path', models.CharField(max_length=255)),
                ('is_stream', models.BooleanField(default=False, verbose_name='stream')),
                ('model', models.CharField(blank=True, max_length=100)),
                ('outcome', models.CharField(choices=[('completed', 'completed'), ('refused', 'refused'), ('upstream_failed', 'upstream failed'), ('upstream_cut', 'cut by upstream'), ('client_closed', 'closed by client'), ('interrupted', 'interrupted')], max_length=20)),
                ('status', models.PositiveSmallIntegerField(help_text='What the client was sent; empty: nothing.', null=True)),
                ('error_code', models.CharField(blank=True, help_text='Of an error of ours.', max_length=60)),
                ('is_admitted', models.BooleanField(default=False, help_text="Counts towards the token's limit.", verbose_name='admitted')),
                ('usage_source', models.CharField(choices=[('upstream', 'reported by upstream'), ('none', 'not reported')], default='none', max_length=10)),
                ('input_tokens', models.PositiveBigIntegerField(null=True)),
                ('output_tokens', models.PositiveBigIntegerField(null=True)),
                ('cached_tokens', models.PositiveBigIntegerField(null=True)),
                ('reasoning_tokens', models.PositiveBigIntegerField(null=True)),
                ('duration_seconds', models.FloatField()),
                ('first_byte_seconds', models.FloatField(null=True)),
                ('upstream_processing_seconds', models.FloatField(null=True)),
                ('upstream_request_id', models.CharField(blank=True, max_length=100)),
                ('request_bytes', models.PositiveBigIntegerField(default=0)),
                ('response_bytes', models.PositiveBigIntegerField(default=0)),
                ('project', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='projects.project')),
                ('token', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='usage_records', to='tokens.accesstoken')),
            ],
            options={
                'ordering': ['-started_at'],
                'indexes': [models.Index(fields=['project', 'started_at'], name='usage_usage_project_64df7b_idx'), models.Index(fields=['token', 'started_at'], name='usage_usage_token_i_38ef77_idx')],
                'constraints': [models.CheckConstraint(condition=models.Q(('outcome__in', ['completed', 'refused', 'upstream_failed', 'upstream_cut', 'client_closed', 'interrupted'])), name='usage_record_outcome_is_known'), models.CheckConstraint(condition=models.Q(('duration_seconds__gte', 0)), name='usage_record_duration_is_positive')],
            },
        ),
    ]
