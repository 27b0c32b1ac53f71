"""What keeps the original's rows from being imported: all of it, told before anything is written. A sentence
says which row, which field and what to do, and no secret.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction

from llm_proxy_site.takeover.original import Original, OriginalProject, OriginalToken
from llm_proxy_site.takeover.ours import is_known_project, is_known_token, our_project, our_token
from llm_proxy_site.takeover.row import problem_text
from projects.models import Project, validate_key

WHAT_TO_DO = {
    "name": "Rename it in the original.",
    "max_requests": "In the original give it a number above 0, or none (NULL) for no cap.",
}
OTHERWISE = "Mend it in the original."
SAME_NAME = (
    "Another one in the file has that name, but for spaces, or what the database does not tell apart. Rename "
    "one of the two."
)
TWICE = "Another one in the file has the same. Delete one of the two in the original."
LONGEST_NAME = 100


def problems_of(original: Original, now: datetime) -> list[str]:
    """What is here already is not looked at: it stays as it is."""
    project_ids = Counter(project.id for project in original.projects)
    token_ids = Counter(token.id for token in original.tokens)
    digests = Counter(token.digest for token in original.tokens)
    projects = [project for project in original.projects if not is_known_project(project)]
    tokens = [token for token in original.tokens if not is_known_token(token)]
    twins = _of_one_name(projects)
    found = list(original.problems)
    for project in projects:
        found += _of_project(project, now)
        if project.id in twins:
            found.append(problem_text(project.label, "name", SAME_NAME))
        if project_ids[project.id] > 1:
            found.append(problem_text(project.label, "id", TWICE))
    for token in tokens:
        found += _of_token(token, now)
        if token.project_id not in project_ids:
            problem = "It is of a project that the database does not have. Delete it in the original."
            found.append(problem_text(token.label, "project_id", problem))
        if token_ids[token.id] > 1:
            found.append(problem_text(token.label, "id", TWICE))
        if digests[token.digest] > 1:
            found.append(problem_text(token.label, "token", TWICE))
    return list(dict.fromkeys(found))


def _of_one_name(projects: Sequence[OriginalProject]) -> set[UUID]:
    """The ids of those whose names are one to the database, which may not tell cases apart: it is tried."""
    tried: dict[UUID, UUID] = {}
    twins: set[UUID] = set()
    with transaction.atomic():
        for project in projects:
            name = project.name.strip()
            same = Project.objects.filter(name=name).first()
            if same is None and 0 < len(name) <= LONGEST_NAME:
                tried[Project.objects.create(name=name).id] = project.id
            elif same is not None and same.id in tried:
                twins |= {project.id, tried[same.id]}
        transaction.set_rollback(True)
    return twins


def _of_project(original: OriginalProject, now: datetime) -> Iterator[str]:
    if Project.objects.filter(name=original.name.strip()).exists():
        problem = "There is another project of that name here. Rename one of the two."
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
