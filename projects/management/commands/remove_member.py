"""`manage.py remove_member`."""

from projects.management.membership import MembershipCommand


class Command(MembershipCommand):
    help = "Take a project from a person's sight."
    is_member = False
