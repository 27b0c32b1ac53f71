from datetime import UTC, datetime, timedelta

from projects.edits import differences, fact
from projects.models import Project


def test_differences_are_of_the_fields_that_differ_as_people_read_them() -> None:
    project = Project(name="beta", base_url="", longest_ttl=timedelta(days=7), max_requests=None)
    before = {"name": "alpha", "base_url": "", "longest_ttl": None, "max_requests": 5}
    assert differences(before, project, before) == {
        "name": {"before": "alpha", "after": "beta"},
        "longest_ttl": {"before": None, "after": "7d"},
        "max_requests": {"before": 5, "after": None},
    }


def test_instant_is_kept_in_its_iso_form() -> None:
    assert fact(datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)) == "2030-01-02T03:04:05+00:00"
