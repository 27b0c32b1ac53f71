
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('projects', '0002_policy_and_limits'),
        ('tokens', '0002_life_and_limits'),
        ('usage', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='BudgetAlert',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('subject_id', models.UUIDField(help_text="The token's or the project's.")),
                ('window', models.CharField(max_length=10)),
                ('period', models.DateField(help_text='Its first day.')),
                ('limit_microusd', models.PositiveBigIntegerField()),
                ('percent', models.PositiveSmallIntegerField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name='DailySpend',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('subject_id', models.UUIDField(help_text="The token's or the project's.")),
                ('day', models.DateField(help_text='On which the requests began.')),
                ('requests', models.PositiveBigIntegerField(default=0, help_text='Admitted ones.')),
                ('cost_microusd', models.PositiveBigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name='ModelPrice',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('model', models.CharField(help_text="A model's name, or a pattern such as my-model-*. The name wins, then the longest pattern.", max_length=100, unique=True)),
                ('input_price', models.DecimalField(decimal_places=6, max_digits=12)),
                ('cached_input_price', models.DecimalField(blank=True, decimal_places=6, help_text='Empty: the input price.', max_digits=12, null=True)),
                ('audio_input_price', models.DecimalField(blank=True, decimal_places=6, help_text='Empty: the input price.', max_digits=12, null=True)),
                ('output_price', models.DecimalField(decimal_places=6, default=0, max_digits=12)),
                ('audio_output_price', models.DecimalField(blank=True, decimal_places=6, help_text='Empty: the output price.', max_digits=12, null=True)),
                ('context_window', models.PositiveIntegerField(blank=True, help_text='Model tokens that an input can have. Empty: as known, or unbounded.', null=True)),
                ('max_output_tokens', models.PositiveIntegerField(blank=True, help_text='Model tokens that an output can have. Empty: as known.', null=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
            ],
            options={
                'ordering': ['model'],
            },
        ),
        migrations.RemoveConstraint(
            model_name='usagerecord',
            name='usage_record_outcome_is_known',
        ),
        migrations.AddField(
            model_name='usagerecord',
            name='audio_input_tokens',
            field=models.PositiveBigIntegerField(help_text='Of the input tokens.', null=True),
        ),
        migrations.AddField(
            model_name='usagerecord',
            name='audio_output_tokens',
            field=models.PositiveBigIntegerField(help_text='Of the output tokens.', null=True),
        ),
        migrations.AddField(
            model_name='usagerecord',
            name='cache_write_tokens',
            field=models.PositiveBigIntegerField(help_text='Of the input tokens.', null=True),
        ),
        migrations.AddField(
            model_name='usagerecord',
            name='cost_microusd',
            field=models.PositiveBigIntegerField(help_text='Empty: unknown.', null=True, verbose_name='cost in micro-USD'),
        ),
        migrations.AddField(
            model_name='usagerecord',
            name='cost_source',
            field=models.CharField(choices=[('price', "the model's price"), ('flat', "the project's flat price"), ('unpriced', 'unpriced'), ('free', 'costs nothing')], default='unpriced', max_length=10),
        ),
        migrations.AddField(
            model_name='usagerecord',
            name='service_tier',
            field=models.CharField(blank=True, help_text='That upstream says it used.', max_length=20),
        ),
        migrations.AlterField(
            model_name='usagerecord',
            name='outcome',
            field=models.CharField(choices=[('completed', 'completed'), ('refused', 'refused'), ('upstream_failed', 'upstream failed'), ('upstream_cut', 'cut by upstream'), ('cut', 'cut by the proxy'), ('client_closed', 'closed by client'), ('interrupted', 'interrupted')], max_length=20),
        ),
        migrations.AlterField(
            model_name='usagerecord',
            name='usage_source',
            field=models.CharField(choices=[('upstream', 'reported by upstream'), ('estimated', 'estimated'), ('none', 'not reported')], default='none', max_length=10),
        ),
        migrations.AddConstraint(
            model_name='usagerecord',
            constraint=models.CheckConstraint(condition=models.Q(('outcome__in', ['completed', 'refused', 'upstream_failed', 'upstream_cut', 'cut', 'client_closed', 'interrupted'])), name='usage_record_outcome_is_known'),
        ),
        migrations.AddConstraint(
            model_name='usagerecord',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('cost_microusd', None), ('cost_source', 'unpriced')), models.Q(models.Q(('cost_source', 'unpriced'), _negated=True), ('cost_microusd__isnull', False)), _connector='OR'), name='usage_record_cost_is_known_or_unpriced'),
        ),
        migrations.AddConstraint(
            model_name='budgetalert',
            constraint=models.UniqueConstraint(fields=('subject_id', 'window', 'period', 'limit_microusd', 'percent'), name='budget_alert_is_given_once'),
        ),
        migrations.AddConstraint(
            model_name='dailyspend',
            constraint=models.UniqueConstraint(fields=('subject_id', 'day'), name='daily_spend_is_one_a_subject_and_day'),
        ),
        migrations.AddConstraint(
            model_name='modelprice',
            constraint=models.CheckConstraint(condition=models.Q(('input_price__gte', 0), ('output_price__gte', 0), models.Q(('cached_input_price', None), ('cached_input_price__gte', 0), _connector='OR'), models.Q(('audio_input_price', None), ('audio_input_price__gte', 0), _connector='OR'), models.Q(('audio_output_price', None), ('audio_output_price__gte', 0), _connector='OR')), name='model_price_is_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='modelprice',
            constraint=models.CheckConstraint(condition=models.Q(('model', ''), _negated=True), name='model_price_names_a_model'),
        ),
    ]
