"""`manage.py deactivate_project`."""

from projects.management.switching import SwitchCommand


class Command(SwitchCommand):
    help = "Switch a project off: its tokens are refused everywhere within 2 s."
    active = False
