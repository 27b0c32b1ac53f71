"""Session: what has been said to which model, and what it has cost. Pure."""

from dataclasses import dataclass, field

Message = dict[str, str]


@dataclass(slots=True)
class Session:
    model: str
    system: str = ""
    """What the model is told before all else; empty: nothing."""
    said: list[Message] = field(default_factory=list)
    cost_microusd: int = 0
    """Of all answers whose cost is known."""

    def question(self, text: str) -> list[Message]:
        """What is sent to ask this: system message, history, and the question."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, *self.said, {"role": "user", "content": text}]

    def remember(self, text: str, answer: str) -> None:
        """A question and as much of its answer as came; without any, it has not been asked."""
        if answer:
            self.said += [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]

    def reset(self) -> None:
        """Forget what was said. Model, system message and costs stay."""
        self.said.clear()
