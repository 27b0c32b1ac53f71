"""How often an address may do what costs us something: buckets of credit that fill with time."""

from collections import OrderedDict
from collections.abc import Callable

MAX_ADDRESSES = 4096


class Credit:
    """A bucket of `most`, which fills by `per_second`."""

    __slots__ = ("_at", "_left", "_most", "_per_second")

    def __init__(self, most: float, per_second: float, now: float) -> None:
        self._most = most
        self._per_second = per_second
        self._left = most
        self._at = now

    def take(self, now: float) -> bool:
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        self._left += 1


class Credits:
    """One for each address; those that were not seen for longest are forgotten."""

    def __init__(self, most: float, per_second: float, clock: Callable[[], float]) -> None:
        self._most = most
        self._per_second = per_second
        self._clock = clock
        self._of_addresses: OrderedDict[str, Credit] = OrderedDict()

    def of(self, address: str) -> Credit:
        credit = self._of_addresses.get(address)
        if credit is None:
            credit = self._of_addresses[address] = Credit(self._most, self._per_second, self._clock())
            if len(self._of_addresses) > MAX_ADDRESSES:
                self._of_addresses.popitem(last=False)
        self._of_addresses.move_to_end(address)
        return credit
