from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0005_number_all_events'),
    ]

    operations = [
        migrations.CreateModel(
            name='ChainVerification',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('verified_at', models.DateTimeField(help_text='When it ended.')),
                ('actor', models.CharField(max_length=150)),
                ('events', models.PositiveBigIntegerField(help_text='Those that are as they were recorded, up to the break.')),
                ('broken_at', models.PositiveBigIntegerField(help_text='The number of the first that is not.', null=True)),
                ('problem', models.CharField(blank=True, max_length=200)),
            ],
        ),
    ]
