"""What all workers have counted, added up; and how each of those that live is."""

from collections.abc import Iterable
from operator import add

from proxy.metrics.board import Block, Kind
from proxy.metrics.catalogue import BREAKERS, WORKER, WorkerFacts

Labels = tuple[str, ...]


class Sums:
    def __init__(self, blocks: Iterable[Block]) -> None:
        self._counts: dict[str, dict[Labels, list[float]]] = {}
        self.workers: list[WorkerFacts] = []
        self.breakers: dict[Labels, float] = {}
        """The worst state of each."""
        for block in blocks:
            if block.signature == WORKER.signature:
                if block.is_held:
                    self.workers.append(WorkerFacts(*block.values))
            elif block.signature == BREAKERS.signature:
                if block.is_held:
                    worst = max(block.values[0], self.breakers.get(block.labels, 0.0))
                    self.breakers[block.labels] = worst
            else:
                self._add(block)

    def of(self, kind: Kind) -> dict[Labels, list[float]]:
        """By labels."""
        return self._counts.get(kind.signature, {})

    def _add(self, block: Block) -> None:
        of_kind = self._counts.setdefault(block.signature, {})
        known = of_kind.get(block.labels)
        of_kind[block.labels] = list(map(add, known, block.values)) if known else list(block.values)
