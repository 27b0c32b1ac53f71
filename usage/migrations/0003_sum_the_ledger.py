from django.db import migrations
from django.db.models import Count, F, Q
from django.db.models.functions import TruncDate


def sum_the_ledger(apps, schema_editor):
    """The days before there was a sum of them. What they cost is not known."""
    records, daily_spend = apps.get_model('usage', 'UsageRecord'), apps.get_model('usage', 'DailySpend')
    for subject_id in ('token_id', 'project_id'):
        days = (
            records.objects.filter(is_admitted=True)
            .order_by()
            .values(subject_id=F(subject_id), day=TruncDate('started_at'))
            .annotate(requests=Count('id'))
        )
        daily_spend.objects.bulk_create((daily_spend(**day) for day in days.iterator()), batch_size=500)


def free_the_refused(apps, schema_editor):
    """What upstream has done no work for has cost nothing; of the rest it is not known what it cost."""
    records = apps.get_model('usage', 'UsageRecord')
    idle = Q(is_admitted=False) | ~Q(method='POST') | Q(status__gte=300) | Q(status=None)
    records.objects.filter(idle).update(cost_source='free', cost_microusd=0)


class Migration(migrations.Migration):

    dependencies = [
        ('usage', '0002_costs'),
    ]

    operations = [
        migrations.RunPython(sum_the_ledger, migrations.RunPython.noop),
        migrations.RunPython(free_the_refused, migrations.RunPython.noop),
    ]
