"""What keeps the original's rows from being imported: all of it, told before anything is written. A sentence
says which row, which field and what to do, and no secret.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime

from django.core.exceptions import ValidationError

from llm_proxy_site.takeover.original import Original, OriginalProject, OriginalToken
from llm_proxy_site.takeover.ours import is_known_project, is_known_token, our_project, our_token
from llm_proxy_site.takeover.row import problem_text
from projects.models import Project, validate_key

WHAT_TO_DO = {
    "name": "Rename it in the original.",
    "max_requests": "In the original give it a number above 0, or none (NULL) for no cap.",
}
OTHERWISE = "Mend it in the original."


def problems_of(original: Original, now: datetime) -> list[str]:
    """What is here already is not looked at: it stays as it is."""
    names = Counter(project.name.strip() for project in original.projects)
    project_ids = {project.id for project in original.projects}
    found = list(original.problems)
    for project in original.projects:
        if not is_known_project(project):
            found += _of_project(project, names, now)
    for token in original.tokens:
        if not is_known_token(token):
            found += _of_token(token, now)
            if token.project_id not in project_ids:
                problem = "It is of a project that the database does not have. Delete it in the original."
                found.append(problem_text(token.label, "project_id", problem))
    return list(dict.fromkeys(found))


def _of_project(original: OriginalProject, names: Counter[str], now: datetime) -> Iterator[str]:
    name = original.name.strip()
    if Project.objects.filter(name=name).exists():
        problem = "There is another project of that name here. Rename one of the two."
        yield problem_text(original.label, "name", problem)
    if names[name] > 1:
        problem = "Another one in the file has that name, but for spaces. Rename one of the two."
        yield problem_text(original.label, "name", problem)
    project = our_project(original, now)
    yield from _refusals(original.label, lambda: project.full_clean(validate_unique=False))
    if original.upstream_key:
        try:
            validate_key(original.upstream_key)
        except ValidationError as problem:
            sentence = f"{problem.messages[0]} Give the project its right one in the original."
            yield problem_text(original.label, "upstream key", sentence)


def _of_token(original: OriginalToken, now: datetime) -> Iterator[str]:
    token = our_token(original, now)
    exclude = {"last_four", "project"}  # the one may not be known, the other is not there yet
    yield from _refusals(original.label, lambda: token.full_clean(exclude=exclude, validate_unique=False))


def _refusals(label: str, check: Callable[[], None]) -> Iterator[str]:
    try:
        check()
    except ValidationError as problem:
        for field, messages in problem.message_dict.items():
            sentence = f"{' '.join(messages)} {WHAT_TO_DO.get(field, OTHERWISE)}"
            yield problem_text(label, field, sentence)
