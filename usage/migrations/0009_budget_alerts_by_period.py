from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('usage', '0008_seldom_values'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='budgetalert',
            index=models.Index(fields=['window', 'period'], name='budget_alert_by_period'),
        ),
    ]
