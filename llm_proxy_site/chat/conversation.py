"""The loop of a chat: a line is a question, or a command that begins with a slash."""

from collections.abc import Callable

import httpx

from llm_proxy_site.chat.answers import Answer, ChatError
from llm_proxy_site.chat.costs import cost_microusd, usage_line
from llm_proxy_site.chat.screen import Screen
from llm_proxy_site.chat.session import Session
from usage.price_book import PriceBook

HELP = """/model [NAME]    another model, or which it is
/system [TEXT]   what the model is told before all else, or what that is; - for nothing
/reset           forget what was said
/help            this
/quit            leave; so does Ctrl-D. Ctrl-C stops an answer"""


class Conversation:
    def __init__(self, client: httpx.Client, session: Session, screen: Screen, prices: PriceBook) -> None:
        self._client = client
        self._session = session
        self._screen = screen
        self._prices = prices
        self._commands: dict[str, Callable[[str], None]] = {
            "/model": self._model,
            "/system": self._system,
            "/reset": self._reset,
            "/help": lambda _: screen.note(HELP),
        }

    def run(self) -> None:
        """Until the end of the input, or /quit. Raises ChatError where no person could ask again."""
        goes_on, is_interrupted = True, False
        while goes_on:
            try:
                if is_interrupted:
                    is_interrupted = False
                    self._screen.note("")
                goes_on = self._turn()
            except KeyboardInterrupt:  # does no more here, where the next one would end the program
                if not self._screen.is_interactive:
                    raise
                is_interrupted = True

    def _turn(self) -> bool:
        """False: it was the last."""
        line = self._screen.ask()
        if line is None or line == "/quit":
            return False
        if line.startswith("/"):
            self._obey(line)
        elif line:
            self._answer(line)
        return True

    def _obey(self, line: str) -> None:
        name, _, argument = line.partition(" ")
        command = self._commands.get(name)
        if command is None:
            self._screen.problem(f"There is no command {name}. /help shows those that there are.")
            return
        command(argument.strip())

    def _model(self, name: str) -> None:
        self._session.model = name or self._session.model
        self._screen.note(f"The model is {self._session.model}.")

    def _system(self, text: str) -> None:
        if text:
            self._session.system = "" if text == "-" else text
        self._screen.note(self._session.system or "There is no system message.")

    def _reset(self, _: str) -> None:
        self._session.reset()
        self._screen.note("What was said is forgotten.")

    def _answer(self, text: str) -> None:
        """Ctrl-C stops it; what has come of it stays in the history."""
        answer = Answer(self._client, self._session.model, self._session.question(text))
        pieces: list[str] = []
        try:
            for piece in answer.pieces():
                pieces.append(piece)
                self._screen.piece(piece)
            self._screen.end_of_answer()
        except KeyboardInterrupt:
            self._screen.end_of_answer()
            self._screen.note("Stopped. What it has cost is in the proxy's ledger.")
        except ChatError as problem:
            if pieces:
                self._screen.end_of_answer()
            if not self._screen.is_interactive:
                raise
            self._screen.problem(str(problem))
        self._session.remember(text, "".join(pieces))
        self._tell_cost(answer)

    def _tell_cost(self, answer: Answer) -> None:
        if answer.usage is None:
            return
        cost = cost_microusd(self._prices, self._session.model, answer.usage)
        self._session.cost_microusd += cost or 0
        self._screen.note(usage_line(answer.usage, cost, self._session.cost_microusd))
