"""Search for users by prefixes of their names."""

from django.db.models import Q, QuerySet

from users.identity import names
from users.models import User

MINIMUM_CHARS = 2


def people(*, query: str, searcher_id: int) -> QuerySet[User]:
    """Return active users where each word of `query` is a prefix of a name; never by address or number, never oneself.

    Matches prefixes of stored, case-folded columns, so that an index is used; Django escapes the wildcards of LIKE.
    """
    found = User.objects.filter(is_active=True).exclude(pk=searcher_id)
    for word in names.fold(query).split():
        found = found.filter(
            Q(search_username__startswith=word)
            | Q(search_first_name__startswith=word)
            | Q(search_last_name__startswith=word)
        )
    return found
