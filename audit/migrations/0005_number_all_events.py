from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0004_chain_what_is_there'),
    ]

    operations = [
        migrations.AlterField(
            model_name='auditevent',
            name='sequence',
            field=models.PositiveBigIntegerField(help_text='One more than the one before it.', unique=True, verbose_name='number'),
        ),
        migrations.AlterModelOptions(
            name='auditevent',
            options={'ordering': ['-sequence']},
        ),
    ]
