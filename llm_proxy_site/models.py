"""ScheduledTask: when something that the scheduler does was last done, and by whom it is being done."""

from django.db import models


class ScheduledTask(models.Model):
    name = models.CharField(max_length=30, primary_key=True)
    last_started_at = models.DateTimeField(null=True)
    last_finished_at = models.DateTimeField(null=True)
    last_error = models.CharField(max_length=500, blank=True)
    holder = models.CharField(
        max_length=100, blank=True, help_text="The process that runs it, or ran it last."
    )
    lease_until = models.DateTimeField(null=True, help_text="Renewed while it runs; empty: it does not run.")

    def __str__(self) -> str:
        return self.name
