
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('projects', '0002_policy_and_limits'),
        ('tokens', '0001_initial'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='accesstoken',
            name='access_token_cap_is_positive',
        ),
        migrations.AddField(
            model_name='accesstoken',
            name='daily_budget_microusd',
            field=models.PositiveBigIntegerField(blank=True, help_text='In millionths of a US dollar. Empty: no limit.', null=True),
        ),
        migrations.AddField(
            model_name='accesstoken',
            name='idle_ttl',
            field=models.DurationField(blank=True, help_text='It dies when unused for so long. Empty: it does not.', null=True, verbose_name='idle lifetime'),
        ),
        migrations.AddField(
            model_name='accesstoken',
            name='max_concurrent_requests',
            field=models.PositiveBigIntegerField(blank=True, help_text='Empty: no limit.', null=True),
        ),
        migrations.AddField(
            model_name='accesstoken',
            name='max_model_tokens_per_minute',
            field=models.PositiveBigIntegerField(blank=True, help_text='Input and output together. Empty: no limit.', null=True),
        ),
        migrations.AddField(
            model_name='accesstoken',
            name='max_requests_per_minute',
            field=models.PositiveBigIntegerField(blank=True, help_text='Empty: no limit.', null=True),
        ),
        migrations.AddField(
            model_name='accesstoken',
            name='monthly_budget_microusd',
            field=models.PositiveBigIntegerField(blank=True, help_text='In millionths of a US dollar. Empty: no limit.', null=True),
        ),
        migrations.AddField(
            model_name='accesstoken',
            name='previous_digest',
            field=models.CharField(blank=True, db_index=True, editable=False, max_length=64, null=True),
        ),
        migrations.AddField(
            model_name='accesstoken',
            name='previous_digest_dies_at',
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name='accesstoken',
            name='renewed_at',
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name='accesstoken',
            name='total_budget_microusd',
            field=models.PositiveBigIntegerField(blank=True, help_text='In millionths of a US dollar. Empty: no limit.', null=True),
        ),
        migrations.AddField(
            model_name='accesstoken',
            name='ttl',
            field=models.DurationField(blank=True, editable=False, help_text="As issued; a renewal's. Empty: never ends.", null=True, verbose_name='lifetime'),
        ),
        migrations.AddField(
            model_name='accesstoken',
            name='weekly_budget_microusd',
            field=models.PositiveBigIntegerField(blank=True, help_text='In millionths of a US dollar. Empty: no limit.', null=True),
        ),
        migrations.AlterField(
            model_name='accesstoken',
            name='max_requests',
            field=models.PositiveBigIntegerField(blank=True, help_text='Over its whole life. Empty: no limit.', null=True),
        ),
        migrations.AddConstraint(
            model_name='accesstoken',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('max_requests', None), ('max_requests__gte', 1), _connector='OR'), models.Q(('max_requests_per_minute', None), ('max_requests_per_minute__gte', 1), _connector='OR'), models.Q(('max_model_tokens_per_minute', None), ('max_model_tokens_per_minute__gte', 1), _connector='OR'), models.Q(('max_concurrent_requests', None), ('max_concurrent_requests__gte', 1), _connector='OR'), models.Q(('total_budget_microusd', None), ('total_budget_microusd__gte', 1), _connector='OR'), models.Q(('daily_budget_microusd', None), ('daily_budget_microusd__gte', 1), _connector='OR'), models.Q(('weekly_budget_microusd', None), ('weekly_budget_microusd__gte', 1), _connector='OR'), models.Q(('monthly_budget_microusd', None), ('monthly_budget_microusd__gte', 1), _connector='OR')), name='accesstoken_limits_are_positive'),
        ),
        migrations.AddConstraint(
            model_name='accesstoken',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('previous_digest', None), ('previous_digest_dies_at', None)), models.Q(('previous_digest__isnull', False), ('previous_digest_dies_at__isnull', False)), _connector='OR'), name='access_token_previous_digest_dies'),
        ),
    ]
