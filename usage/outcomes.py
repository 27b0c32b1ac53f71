"""How a proxied request can end. One word each, in the ledger, in the log and in the admin."""

from django.db.models import TextChoices


class Outcome(TextChoices):
    COMPLETED = "completed", "completed"
    """Upstream's whole answer, whatever its status, was handed to the client."""
    REFUSED = "refused", "refused"
    """We answered with an error of ours."""
    UPSTREAM_FAILED = "upstream_failed", "upstream failed"
    """Upstream could not be reached, or did not begin to answer."""
    UPSTREAM_CUT = "upstream_cut", "cut by upstream"
    """Upstream's answer ended before its end: it broke off, or a stream came without its last event."""
    CUT = "cut", "cut by the proxy"
    """The token died, or its budget was used up, while the request ran."""
    CLIENT_CLOSED = "client_closed", "closed by client"
    """The client hung up before the end."""
    INTERRUPTED = "interrupted", "interrupted"
    """This server stopped, or failed, before the end."""


class UsageSource(TextChoices):
    UPSTREAM = "upstream", "reported by upstream"
    ESTIMATED = "estimated", "estimated"
    """Upstream reported nothing, but has worked: the input by its size, the output by what passed."""
    PARTIAL = "partial", "reported in part"
    """The answer broke off after upstream had reported some usage: there may have been more."""
    NONE = "none", "not reported"


class CostSource(TextChoices):
    """Where `cost_microusd` comes from."""

    PRICE = "price", "the model's price"
    FLAT = "flat", "the project's flat price"
    UNPRICED = "unpriced", "unpriced"
    """The model has no known price: the cost is unknown, not 0."""
    FREE = "free", "costs nothing"
    """Refused, not answered by upstream, or an endpoint that costs nothing."""
