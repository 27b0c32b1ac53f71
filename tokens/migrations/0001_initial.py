
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('projects', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='AccessToken',
            fields=[
                ('id', models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ('digest', models.CharField(editable=False, max_length=64, unique=True)),
                ('last_four', models.CharField(editable=False, max_length=4)),
                ('name', models.CharField(blank=True, max_length=100)),
                ('expires_at', models.DateTimeField(blank=True, db_index=True, help_text='Empty: never.', null=True)),
                ('is_active', models.BooleanField(db_index=True, default=True, verbose_name='active')),
                ('revoked_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('request_count', models.PositiveBigIntegerField(default=0, editable=False)),
                ('max_requests', models.PositiveBigIntegerField(blank=True, help_text='Empty: no limit.', null=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True, db_index=True)),
                ('last_used_at', models.DateTimeField(blank=True, editable=False, null=True)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='access_tokens', to='projects.project')),
            ],
            options={
                'ordering': ['-created_at'],
                'constraints': [models.CheckConstraint(condition=models.Q(('revoked_at', None), ('is_active', False), _connector='OR'), name='access_token_revoked_is_inactive'), models.CheckConstraint(condition=models.Q(('max_requests', None), ('max_requests__gte', 1), _connector='OR'), name='access_token_cap_is_positive'), models.CheckConstraint(condition=models.Q(('digest', ''), _negated=True), name='access_token_has_a_digest')],
            },
        ),
    ]
