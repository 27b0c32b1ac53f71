"""The ledger's rows of a project, or of a token, are found by the indexes that go on with the time. Those of the
project and of the token alone, which Django makes for every foreign key, were one more to be written for each request.

By hand: for such a change SQLite's tables are copied, whatever their size.
"""

import django.db.models.deletion
from django.db import migrations, models

FIELDS = ("project", "token")


def drop_indexes(apps, schema_editor):
    record = apps.get_model("usage", "UsageRecord")
    for name in FIELDS:
        columns = [record._meta.get_field(name).column]
        for index in schema_editor._constraint_names(record, columns, index=True, type_=models.Index.suffix):
            schema_editor.execute(schema_editor._delete_index_sql(record, index))


def make_indexes(apps, schema_editor):
    record = apps.get_model("usage", "UsageRecord")
    for name in FIELDS:
        schema_editor.execute(schema_editor._create_index_sql(record, fields=[record._meta.get_field(name)]))


class Migration(migrations.Migration):

    dependencies = [
        ('projects', '0007_membership'),
        ('tokens', '0006_prefix'),
        ('usage', '0010_captured_bodies'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(drop_indexes, make_indexes)],
            state_operations=[
                migrations.AlterField(
                    model_name='usagerecord',
                    name='project',
                    field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='projects.project'),
                ),
                migrations.AlterField(
                    model_name='usagerecord',
                    name='token',
                    field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='usage_records', to='tokens.accesstoken'),
                ),
            ],
        ),
    ]
