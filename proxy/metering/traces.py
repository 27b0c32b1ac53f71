"""Takes out of a stream what is only there because the proxy asked for usage, so that the client receives the
bytes that it would have received.

The traces: the member `"usage":null` of each chunk, and the extra chunk that has the usage and no choices.
Usage in a chunk with choices is not among them: a server that sends it there always does. Sans-I/O, line by
line; the lines end in LF or CRLF.
"""

from proxy.metering.members import Member, members_of

MAX_LINE_BYTES = 1024 * 1024
"""A longer line passes as it is: memory stays bounded."""

_NULL = b',"usage":null'
_LAST = _NULL + b"}"
_BEFORE_PADDING = _NULL + b',"obfuscation":"'
_SPACE = b" \t\r\n"


class TraceRemover:
    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        self._rest = b""
        """The beginning of a line."""
        self._more: list[bytes] = []
        """What has come of that line since: it is put together once."""
        self._more_bytes = 0
        self._waiting = bytearray()
        """Whole lines of an event whose data has not come: they go if it goes."""
        self._is_dropping = False
        """Whether the event that has begun is the extra chunk."""
        self._is_passing = False
        """Whether the line that has begun is too long, and on its way."""

    def feed(self, chunk: bytes) -> bytes:
        """What the client gets of all that has come: every line that is complete, but for the traces."""
        if chunk.endswith(b"\n\n") and self._is_one_event(chunk):
            edited = _usual(chunk[:-2])
            if edited is not None:
                return edited + b"\n\n"
        if self._goes_on(chunk):
            return b""
        self._put_together()
        text = self._rest + chunk if self._rest else chunk
        end = text.rfind(b"\n") + 1
        self._rest = text[end:] if end < len(text) else b""
        out = self._take(text[:end]) if end else b""
        if self._rest and (self._is_passing or self._is_endless()):
            out += self._pass_on()
        return out

    def _goes_on(self, chunk: bytes) -> bool:
        """Whether it only adds to a line that has begun: then it is kept."""
        size = len(self._rest) + self._more_bytes + len(chunk)
        is_more = bool(self._rest) and not self._is_passing and size <= self._max_line_bytes
        if not is_more or b"\n" in chunk or b"\r" in chunk or self._rest.endswith(b"\r"):
            return False
        self._more.append(chunk)
        self._more_bytes += len(chunk)
        return True

    def _put_together(self) -> None:
        if self._more:
            self._rest += b"".join(self._more)
            self._more, self._more_bytes = [], 0

    def _is_one_event(self, chunk: bytes) -> bool:
        """Of one line, as almost always, and then there is little to do."""
        size = len(chunk)
        return (
            not (self._rest or self._waiting or self._is_dropping or self._is_passing)
            and chunk.startswith(b"data: ")
            and chunk.find(b"\n") == size - 2
            and b"\r" not in chunk
            and size <= self._max_line_bytes
        )

    def end(self) -> bytes:
        """What is left where upstream broke off in the middle of a line."""
        self._put_together()
        rest, self._rest = self._rest, b""
        if rest.startswith(b"data:"):
            return self._take_data(rest)
        return b"" if self._is_dropping else self._take_waiting() + rest

    def _take(self, lines: bytes) -> bytes:
        """Whole lines."""
        edited = self._take_at_once(lines)
        if edited is not None:
            return edited
        out = []
        for line in lines.splitlines(keepends=True) if b"\r" not in lines else _lines(lines):
            if self._is_passing:
                self._is_passing = False
                out.append(b"" if self._is_dropping else line)
            elif line.startswith(b"data:"):
                out.append(self._take_data(line))
            elif line in (b"\n", b"\r\n"):
                out.append(self._end_event(line))
            elif self._is_dropping:
                continue
            elif line.startswith(b":") and not self._waiting:
                out.append(line)
            else:
                out.append(self._let_wait(line))
        return b"".join(out)

    def _take_at_once(self, lines: bytes) -> bytes | None:
        """Where each event is one line, as OpenAI writes it. None: not so."""
        if self._waiting or self._is_dropping or self._is_passing or len(lines) > self._max_line_bytes:
            return None
        events = lines.split(b"\n\n")
        if events[-1] or b"\r" in lines:
            return None
        events.pop()
        out = []
        for event in events:
            if b"\n" in event or not event.startswith(b"data: "):
                return None
            edited = _without_usage(event)
            if edited is not None:
                out.append(edited)
        out.append(b"")
        return b"\n\n".join(out)

    def _take_data(self, line: bytes) -> bytes:
        if self._is_dropping:
            return b""
        if b'"usage"' in line and len(line) <= self._max_line_bytes:
            edited = _without_usage(line)
            if edited is None:
                self._is_dropping, self._waiting = True, bytearray()
                return b""
            line = edited
        return self._take_waiting() + line if self._waiting else line

    def _end_event(self, line: bytes) -> bytes:
        if self._is_dropping:
            self._is_dropping = False
            return b""
        return self._take_waiting() + line

    def _let_wait(self, line: bytes) -> bytes:
        self._waiting += line
        return b"" if len(self._waiting) <= self._max_line_bytes else self._take_waiting()

    def _take_waiting(self) -> bytes:
        waiting, self._waiting = self._waiting, bytearray()
        return bytes(waiting)

    def _is_endless(self) -> bool:
        """Too long, or of a stream whose lines end in CR alone, which is all one line to us."""
        return len(self._rest) > self._max_line_bytes or b"\r" in self._rest[:-1]

    def _pass_on(self) -> bytes:
        """Of a line that is not looked at: what has come of it, with what has waited for it."""
        rest, self._rest = self._rest, b""
        self._is_passing = True
        return b"" if self._is_dropping else self._take_waiting() + rest


def _lines(text: bytes) -> list[bytes]:
    return [line + b"\n" for line in text.split(b"\n")[:-1]]


def _usual(event: bytes) -> bytes | None:
    """One line of data, without its end, as it would be if nobody had asked. The brace that ends it is the
    chunk's own: what stands before is its member. None: it is not as OpenAI writes it, or has other usage.
    """
    if event.endswith(_LAST):
        at = len(event) - len(_LAST)
        edited = event[:at] + b"}"
    else:
        at = event.rfind(_BEFORE_PADDING)
        padding = event[at + len(_BEFORE_PADDING) :] if at >= 0 else b""
        if not padding.endswith(b'"}') or padding.find(b'"') != len(padding) - 2 or b"\\" in padding:
            return None if b'"usage"' in event else event
        edited = event[:at] + event[at + len(_NULL) :]
    return edited if event.find(b'"usage"', 0, at) < 0 else None


def _without_usage(line: bytes) -> bytes | None:
    """A line of data as it would be if nobody had asked; None: it would not be. What is not one object is
    left alone.
    """
    if line.find(b"\r", 0, -2) >= 0:
        return line  # for who reads it so, two lines
    event = line.rstrip(b"\r\n")
    edited = _usual(event)
    if edited is not None:
        return edited + line[len(event) :]
    start = 6 if line.startswith(b"data: ") else 5
    if line[start : start + 1] != b"{":
        return line
    members, end = members_of(line, start)
    if end < 0 or line[end:].strip(_SPACE):
        return line
    usages = [index for index, member in enumerate(members) if member.name == "usage"]
    if len(usages) != 1:
        return line
    usage = members[usages[0]]
    if line[usage.start : usage.end] == b"null":
        return _cut_out(line, members, usages[0])
    return None if line[usage.start] == ord("{") and _has_no_choices(line, members) else line


def _has_no_choices(line: bytes, members: list[Member]) -> bool:
    if any(member.name == "error" for member in members):
        return False
    choices = [line[member.start : member.end] for member in members if member.name == "choices"]
    return len(choices) == 1 and choices[0].startswith(b"[") and not choices[0][1:-1].strip(_SPACE)


def _cut_out(line: bytes, members: list[Member], index: int) -> bytes:
    """The object without this member, and without the comma that belongs to it."""
    member = members[index]
    if index:
        return line[: members[index - 1].end] + line[member.end :]
    following = members[1].key_start if len(members) > 1 else member.end
    return line[: member.key_start] + line[following:]
