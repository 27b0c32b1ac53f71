"""`manage.py add_member`."""

from projects.management.membership import MembershipCommand


class Command(MembershipCommand):
    help = "Let a person see a project. What they may do there is what their role says."
    is_member = True
