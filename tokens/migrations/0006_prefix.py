"""What tokens begin with: those of the Go original have a prefix of their own, or one that nobody knows."""

from django.db import migrations, models
from django.db.models import F, Q, Value
from django.db.models.functions import Concat


def forget_what_is_not_known(apps, schema_editor):
    """Of those that were imported and have not been rotated since: their name still has their last four."""
    tokens = apps.get_model("tokens", "AccessToken").objects.using(schema_editor.connection.alias)
    imported = Q(last_four="") | Q(name=Concat(Value("imported …"), F("last_four")))
    tokens.filter(imported).update(prefix="")


class Migration(migrations.Migration):

    dependencies = [
        ('tokens', '0005_limits_of_every_engine'),
    ]

    operations = [
        migrations.AddField(
            model_name='accesstoken',
            name='prefix',
            field=models.CharField(blank=True, db_default='sk-wt-', default='sk-wt-', editable=False, max_length=6),
        ),
        migrations.RunPython(forget_what_is_not_known, migrations.RunPython.noop),
    ]
