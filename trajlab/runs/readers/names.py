"""Names of checkpoints: which numbers they hold, and what each of them counts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from trajlab.runs.readers.name_words import (
    COPIES,
    EPOCH,
    GENERIC,
    IDENTITY,
    MEASURE,
    NET,
    NETS,
    PLAIN,
    STEP,
    UNIT_OF,
    UNITS,
    role_of,
)

DATES = re.compile(
    r"(?<!\d)(?:"
    r"20\d{12}"
    r"|(?:19|20)\d\d(?P<sep>[-_.]?)(?:0[1-9]|1[0-2])(?P=sep)(?:0[1-9]|[12]\d|3[01])(?!\d)"
    r"(?:[-_T ]?(?:[01]\d|2[0-3])[-_:h.]?[0-5]\d(?:[-_:m.]?[0-5]\d)?s?(?!\d))?"
    r"|(?:0[1-9]|[12]\d|3[01])[-_.](?:0[1-9]|[12]\d|3[01])[-_.](?:19|20)\d\d"
    r"|(?:[01]\d|2[0-3])[-:](?:[0-5]\d)[-:][0-5]\d"
    r"|1[5-9]\d{8}"
    r")(?!\d)"
)
"""Dates, times of the day, and seconds since 1970 from 2017 on."""

CHUNKS = re.compile(r"(?<![A-Za-z0-9])[A-Za-z0-9]+(?![A-Za-z0-9])")
TOKENS = re.compile(
    r"(?P<exponent>\d+(?:\.\d+)?[eE][-+]?\d+(?![A-Za-z0-9]))|(?P<decimal>\d+\.\d+(?:\.\d+)*)"
    r"|(?P<number>\d+)(?P<scale>[kKMB](?![A-Za-z0-9]))?|(?P<word>[A-Za-z]+)"
)
SHARDS = re.compile(r"(?<!\d)\d+-of-\d+(?!\d)")
COPY_NUMBER = re.compile(r"(?:-v\d+| ?\(\d+\)|~)$")
"""Ends of names that Lightning, browsers and file managers add to a file whose name is taken."""

FRACTIONS = re.compile(r"\d+\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+")
LARGEST = 10**18
"""Numbers from this on fit into no step."""

SCALES = {"k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9}


@dataclass(frozen=True)
class Number:
    """A whole number in a name.

    Attributes
    ----------
    value
        Its value.
    role
        What it is: one of the roles above.
    word
        The word that says so, or that stands before it; empty if none does.
    start, stop
        Positions of its digits in the stem.
    is_separate
        Whether its digits stand apart from letters, or behind a word that is the whole name or names no network.
    """

    value: int
    role: str
    word: str
    start: int
    stop: int
    is_separate: bool = True

    @property
    def unit(self) -> str:
        """What it counts, such as "iteration" for "iter"; empty if it is no number of time."""
        return UNIT_OF[self.word.lower()][1] if self.role in UNITS else ""


@dataclass(frozen=True)
class Name:
    """The name of a checkpoint without its suffix.

    Attributes
    ----------
    stem
        The name.
    numbers
        Its whole numbers, but those of dates, hashes and shards.
    words
        Its words, but those that say what a number is.
    """

    stem: str
    numbers: tuple[Number, ...]
    words: tuple[str, ...]

    def numbers_of(self, *roles: str) -> list[Number]:
        """Return its numbers of some roles."""
        return [number for number in self.numbers if number.role in roles]

    @cached_property
    def is_copy(self) -> bool:
        """Whether it says that the checkpoint is the best or last one, or a second one of its name."""
        return bool(COPIES & {word.lower() for word in self.words}) or bool(COPY_NUMBER.search(self.stem))

    @property
    def of_shards(self) -> str:
        """The stem with a star for the number of a shard; all shards of a checkpoint share it.

        >>> parse("model-00001-of-00002").of_shards, parse("epoch-1-of-10").of_shards
        ('model-*', 'epoch-1-of-10')
        """
        shards = list(_shards(self.stem))
        return f"{self.stem[: shards[0][0]]}*{self.stem[shards[0][1] :]}" if shards else self.stem

    @cached_property
    def identity(self) -> tuple[str, ...]:
        """What tells its network from others: its words, and the numbers that are neither steps nor measures.

        >>> parse("net_G_A_10").identity == parse("net_G_A_20").identity, parse("net_G_B_5").identity
        (True, ('g', 'b'))
        """
        words = [word.lower() for word in self.words if len(word) == 1 or role_of(word)[0] in (None, IDENTITY)]
        numbers = (f"{number.word}{number.value}".lower() for number in self.numbers_of(IDENTITY, NET))
        return (*(word for word in words if word not in GENERIC and word not in COPIES), *numbers)

    @property
    def shape(self) -> str:
        """The name with stars for its numbers of time, plain ones and measures.

        >>> parse("net_G_A_10").shape, parse("model_epoch_3_loss_0.6").shape
        ('net_G_A_*', 'model_epoch_*_loss_*')
        """
        spans = [(n.start, n.stop) for n in self.numbers if n.role not in (IDENTITY, NET)]
        spans += [*(match.span() for match in FRACTIONS.finditer(self.stem)), *_shards(self.stem)]
        text, position = "", 0
        for start, stop in sorted(spans):
            if start >= position:
                text, position = f"{text}{self.stem[position:start]}*", stop
        return text + self.stem[position:]


@lru_cache(maxsize=4096)
def parse(stem: str) -> Name:
    """Read the numbers and words of a checkpoint's name.

    >>> [(n.value, n.role) for n in parse("unet3d_epoch_5_loss_2").numbers]
    [(3, 'net'), (5, 'epoch'), (2, 'measure')]
    >>> [(n.value, n.role) for n in parse("rl_model_10000_steps").numbers]
    [(10000, 'step')]
    """
    ignored = list(_ignored(stem))
    copy = COPY_NUMBER.search(stem)
    tokens = [
        match
        for match in TOKENS.finditer(stem, 0, copy.start() if copy else len(stem))
        if not any(start < match.end() and match.start() < stop for start, stop in ignored)
    ]
    numbers: list[Number] = []
    words = {position: token["word"] for position, token in enumerate(tokens) if token["word"]}
    after_measure = False
    for position, token in enumerate(tokens):
        if token["word"]:
            after_measure = False
            continue
        before = _word_before(stem, tokens, position, words)
        role, word = role_of(before)
        counted = position - 1
        if role is None and token["number"] and not (before and after_measure):
            late_role, late_word = role_of(_word_after(stem, tokens, position))
            if late_role in (STEP, EPOCH) and len(late_word) > 1:
                role, word, counted = late_role, late_word, position + 1
        if role is not None:
            rest = words[counted][: len(words[counted]) - len(word)]
            words |= {counted: rest} if rest else {}
            words = words if rest else {at: other for at, other in words.items() if at != counted}
        elif token["number"]:
            role = _role_without_word(stem, tokens, position, before, after_measure)
        after_measure = role == MEASURE
        whole = token["number"] or (token["exponent"] if role in UNITS else "") or ""
        if re.fullmatch(r"\d{1,18}(?:[eE]\+?\d)?", whole):
            number = _number(stem, token, role or PLAIN, word or before)
            numbers += [number] if abs(number.value) < LARGEST else []
    return Name(stem, tuple(numbers), tuple(word for _, word in sorted(words.items())))


def _role_without_word(
    stem: str, tokens: list[re.Match], position: int, before: str, after_measure: bool
) -> str | None:
    """Return whether digits are part of a net's name or of the measure before them."""
    stop = tokens[position].end()
    joined = bool(before) and tokens[position - 1].end() == tokens[position].start()
    if stem[stop : stop + 1].isalpha() or (joined and NETS.fullmatch(before)):
        return NET
    return MEASURE if after_measure and not before else None


def _number(stem: str, token: re.Match, role: str, word: str) -> Number:
    start, stop = token.span()
    negative = stem[:start].endswith("-") and (start == 1 or stem[start - 2] in "=_:")
    digits, _, exponent = (token["number"] or token["exponent"]).lower().partition("e")
    value = int(digits) * 10 ** int(exponent or 0) * SCALES.get(token["scale"] or "", 1)
    joined = bool(word) and stem[:start].endswith(word)
    is_separate = not joined or word.lower() in GENERIC or stem == word + stem[start:stop]
    return Number(-value if negative else value, role, word, start - negative, stop, is_separate)


def _ignored(stem: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of dates, hashes and numbers of shards; none of them is behind a word of steps."""
    yield from (match.span() for match in DATES.finditer(stem) if not _counts(stem[: match.start()]))
    yield from _shards(stem)
    yield from (match.span() for match in CHUNKS.finditer(stem) if _is_hash(match[0]))


def _shards(stem: str) -> Iterator[tuple[int, int]]:
    yield from (match.span() for match in SHARDS.finditer(stem) if not _counts(stem[: match.start()]))


def _counts(before: str) -> bool:
    """Return whether a text ends with a word of steps or epochs."""
    word = re.search(r"([A-Za-z]+)[-_=. ]*$", before)
    return word is not None and role_of(word[1])[0] in (STEP, EPOCH)


def _is_hash(chunk: str) -> bool:
    """Return whether a word of letters and digits is a hash.

    >>> [_is_hash(chunk) for chunk in ("a1b2c3", "5c106cde", "f37072fd", "e1000", "epoch12", "facade", "123456")]
    [True, True, True, False, False, False, False]
    """
    hexadecimal = re.fullmatch(r"[0-9a-f]{6,}|[0-9A-F]{6,}", chunk)
    return bool(hexadecimal) and len(re.findall(r"\d+|[A-Za-z]+", chunk)) > 2


def _word_before(stem: str, tokens: list[re.Match], position: int, words: dict[int, str]) -> str:
    """Return the word right before a number; empty if another number or a word of another number stands there."""
    if position - 1 not in words:
        return ""
    between = stem[tokens[position - 1].end() : tokens[position].start()]
    return words[position - 1] if re.fullmatch(r"[-_=.: #@()\[\]{}]*", between) else ""


def _word_after(stem: str, tokens: list[re.Match], position: int) -> str:
    """Return the word right after a number, unless it belongs to a number of its own."""
    if position + 1 >= len(tokens) or not tokens[position + 1]["word"]:
        return ""
    word = tokens[position + 1]["word"]
    of_the_next = position + 2 < len(tokens) and not tokens[position + 2]["word"] and not word.lower().endswith("s")
    between = stem[tokens[position].end() : tokens[position + 1].start()]
    return word if re.fullmatch(r"[-_. ]?", between) and not of_the_next else ""
