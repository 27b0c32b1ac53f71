from django.db import migrations

from audit.seal import seal

AT_ONCE = 500


def chain_events(apps, schema_editor):
    """Give each event that is there its number and its hash, in the order in which they were recorded."""
    event_model = apps.get_model("audit", "AuditEvent")
    sequence, previous, some = 0, "", []
    events = event_model.objects.order_by("occurred_at", "id")
    for event in events.iterator():
        sequence += 1
        event.sequence, event.previous_hash = sequence, previous
        previous = event.hash = seal(event)
        some.append(event)
        if len(some) == AT_ONCE:
            event_model.objects.bulk_update(some, ["sequence", "previous_hash", "hash"])
            some = []
    event_model.objects.bulk_update(some, ["sequence", "previous_hash", "hash"])
    apps.get_model("audit", "AuditChain").objects.update_or_create(
        pk=1, defaults={"last_sequence": sequence, "last_hash": previous}
    )


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0003_chain'),
    ]

    operations = [migrations.RunPython(chain_events, migrations.RunPython.noop)]
