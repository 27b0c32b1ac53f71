"""`manage.py activate_project`."""

from projects.management.switching import SwitchCommand


class Command(SwitchCommand):
    help = "Switch a project on: its tokens work again."
    active = True
