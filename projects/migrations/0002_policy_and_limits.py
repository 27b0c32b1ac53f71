
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('projects', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='project',
            name='daily_budget_microusd',
            field=models.PositiveBigIntegerField(blank=True, help_text='In millionths of a US dollar. Empty: no limit.', null=True),
        ),
        migrations.AddField(
            model_name='project',
            name='death_policy',
            field=models.CharField(choices=[('cut', 'cut'), ('finish', 'let finish')], default='cut', help_text='When it is revoked, expires, uses up its budget, or when the project is switched off.', max_length=10, verbose_name='when a token dies, its running requests'),
        ),
        migrations.AddField(
            model_name='project',
            name='default_ttl',
            field=models.DurationField(blank=True, help_text='Of its tokens. Empty: TOKEN_DEFAULT_TTL.', null=True, verbose_name='default lifetime'),
        ),
        migrations.AddField(
            model_name='project',
            name='flat_price_microusd',
            field=models.PositiveBigIntegerField(blank=True, help_text='Of a request whose model has no price.', null=True, verbose_name='flat price'),
        ),
        migrations.AddField(
            model_name='project',
            name='longest_ttl',
            field=models.DurationField(blank=True, help_text='That a token may have. Empty: 365 days.', null=True, verbose_name='longest lifetime'),
        ),
        migrations.AddField(
            model_name='project',
            name='max_concurrent_requests',
            field=models.PositiveBigIntegerField(blank=True, help_text='Empty: no limit.', null=True),
        ),
        migrations.AddField(
            model_name='project',
            name='max_model_tokens_per_minute',
            field=models.PositiveBigIntegerField(blank=True, help_text='Input and output together. Empty: no limit.', null=True),
        ),
        migrations.AddField(
            model_name='project',
            name='max_requests',
            field=models.PositiveBigIntegerField(blank=True, help_text='Over its whole life. Empty: no limit.', null=True),
        ),
        migrations.AddField(
            model_name='project',
            name='max_requests_per_minute',
            field=models.PositiveBigIntegerField(blank=True, help_text='Empty: no limit.', null=True),
        ),
        migrations.AddField(
            model_name='project',
            name='monthly_budget_microusd',
            field=models.PositiveBigIntegerField(blank=True, help_text='In millionths of a US dollar. Empty: no limit.', null=True),
        ),
        migrations.AddField(
            model_name='project',
            name='permits_never',
            field=models.BooleanField(default=False, help_text='Only then may a token be issued so.', verbose_name='permits tokens that never expire'),
        ),
        migrations.AddField(
            model_name='project',
            name='permits_renewal',
            field=models.BooleanField(default=False, help_text='Holders may renew their tokens, up to the longest lifetime from the day of issue.', verbose_name='permits renewal'),
        ),
        migrations.AddField(
            model_name='project',
            name='total_budget_microusd',
            field=models.PositiveBigIntegerField(blank=True, help_text='In millionths of a US dollar. Empty: no limit.', null=True),
        ),
        migrations.AddField(
            model_name='project',
            name='unpriced_policy',
            field=models.CharField(choices=[('allow', 'allow'), ('refuse', 'refuse'), ('flat', 'charge a flat price')], default='allow', max_length=10, verbose_name='models without a price'),
        ),
        migrations.AddField(
            model_name='project',
            name='weekly_budget_microusd',
            field=models.PositiveBigIntegerField(blank=True, help_text='In millionths of a US dollar. Empty: no limit.', null=True),
        ),
        migrations.AddConstraint(
            model_name='project',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('max_requests', None), ('max_requests__gte', 1), _connector='OR'), models.Q(('max_requests_per_minute', None), ('max_requests_per_minute__gte', 1), _connector='OR'), models.Q(('max_model_tokens_per_minute', None), ('max_model_tokens_per_minute__gte', 1), _connector='OR'), models.Q(('max_concurrent_requests', None), ('max_concurrent_requests__gte', 1), _connector='OR'), models.Q(('total_budget_microusd', None), ('total_budget_microusd__gte', 1), _connector='OR'), models.Q(('daily_budget_microusd', None), ('daily_budget_microusd__gte', 1), _connector='OR'), models.Q(('weekly_budget_microusd', None), ('weekly_budget_microusd__gte', 1), _connector='OR'), models.Q(('monthly_budget_microusd', None), ('monthly_budget_microusd__gte', 1), _connector='OR')), name='project_limits_are_positive'),
        ),
        migrations.AddConstraint(
            model_name='project',
            constraint=models.CheckConstraint(condition=models.Q(('death_policy__in', ['cut', 'finish'])), name='project_death_policy_is_known'),
        ),
        migrations.AddConstraint(
            model_name='project',
            constraint=models.CheckConstraint(condition=models.Q(('unpriced_policy__in', ['allow', 'refuse']), models.Q(('flat_price_microusd__isnull', False), ('unpriced_policy', 'flat')), _connector='OR'), name='project_flat_price_is_set'),
        ),
    ]
