from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.contrib.auth.models import User
from django.db import connection

from llm_proxy_site.sso.accounts import account_of
from llm_proxy_site.sso.claims import Person
from projects.access import VIEWER


@pytest.mark.django_db(transaction=True)
def test_who_comes_several_times_at_once_gets_one_account() -> None:
    """As by a double click. On PostgreSQL and MySQL none waits for another."""
    person = Person("https://id.example.com", "248289761001", "ada@example.com", "ada", VIEWER)
    at_once = Barrier(4)

    def come() -> User:
        at_once.wait(timeout=10)
        try:
            return account_of(person, domains=[], creates=True)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as browsers:
        comers = [browsers.submit(come) for _ in range(4)]
    assert {comer.result() for comer in comers} == {User.objects.get()}
