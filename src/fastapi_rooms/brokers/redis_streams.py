"""Streams in Redis and Valkey, alone and in a cluster: a script for each step, which nothing can come between.

A channel has up to three kinds of keys, all in the slot of the channel itself:

- `{CHANNEL}:s`, a stream. The id of an entry is its offset, and the time until which it is kept, in milliseconds.
  The stream goes at the full minute after its last one, or at the next append after it: until then an entry that
  is too old takes memory, and is read no more.
- `{CHANNEL}:m`, a hash: `epoch`, `last`, `version`, and `reign`, under which they were written; `until`, the last
  entry's, and `head`, the first one's or less.
- `{CHANNEL}:i:HASH`, the epoch and the offset of a message with an idempotency key.

A reign is the time for which one process has been the primary: its `master_replid`, which is a new one after each
start and each promotion, and is never loaded from a copy. What was written under another one may lack its end,
so the epoch ends with it.
"""

import hashlib
import math
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

from fastapi_rooms.brokers.redis_requests import Words
from fastapi_rooms.brokers.streams import IDEMPOTENT_FOR, REMEMBERED, Append, Appended, Entry, Page
from fastapi_rooms.errors import BrokerError, ConfigurationError, MissingExtra

try:
    from redis.exceptions import NoPermissionError, NoScriptError, ResponseError
except ImportError as error:
    raise MissingExtra(extra="redis", feature="RedisBroker") from error

Ask: TypeAlias = Callable[[Sequence[Words]], Awaitable[Sequence[Any]]]
"""Sends commands in one request; gives the answers, among them a `ResponseError` for each that was refused."""

_LONGEST: Final = 100 * 366 * 86_400.0
"""Seconds; what is to be kept for longer is kept for so long."""

_HIGHEST: Final = 2**63 - 1
"""More than any offset, and still one that Redis can read."""

_REFUSED: Final = re.compile(
    r"can't run this|can't publish|ACL failure|unknown .*command|master_replid", re.IGNORECASE
)
"""What Redis says where it will never do it; in a script it is a `ResponseError` like any other."""

_STEP: Final = 60.0
"""Seconds. A stream goes at a full minute, so that few appends have to say when."""

_VERSION_DIGITS: Final = 40
_VERSION_ZERO: Final = 10 ** (_VERSION_DIGITS - 1)

_BEGIN: Final = f"""
if redis.replicate_commands then redis.replicate_commands() end
local stream, meta = KEYS[1], KEYS[2]
local role = redis.call('INFO', 'replication')
local _, colon = string.find(role, 'master_replid:', 1, true)
local reign = colon and string.sub(role, colon + 1, colon + 40)
if not reign then return redis.error_reply('ERR INFO replication has no master_replid') end
local kept = redis.call('HMGET', meta, 'reign', 'epoch', 'last', 'version', 'until', 'head')
local epoch, last, version = kept[2], kept[3], kept[4]
local till, head = tonumber(kept[5]), tonumber(kept[6])
if kept[1] ~= reign then
  epoch, last, version, till, head = ARGV[1], '0', '', 0, 0
  redis.call('HSET', meta, 'reign', reign, 'epoch', epoch, 'last', 0, 'version', '', 'until', 0, 'head', 0)
  redis.call('DEL', stream)
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function use()
  local wanted = math.max(till - now, 0) + {(REMEMBERED + _STEP) * 1000:.0f}
  if redis.call('PTTL', meta) < wanted then redis.call('PEXPIRE', meta, wanted + {REMEMBERED * 1000:.0f}) end
end
"""
# The lifetime of the hash is set a day ahead, so that not every read has to write it.

_APPEND: Final = f"""{_BEGIN}
local channel, data, messages, newer = ARGV[3], ARGV[4], ARGV[5], ARGV[7]
local key = KEYS[3]
if key then
  local before, offset = string.match(redis.call('GET', key) or '', '^(.*):(%d+)$')
  if before == epoch then use() return before .. ' ' .. offset .. ' repeated' end
end
if newer then
  if version ~= '' and newer <= version then use() return epoch .. ' ' .. last .. ' stale' end
  redis.call('HSET', meta, 'version', newer)
end
local before, goes = till, math.ceil(till / {_STEP * 1000:.0f}) * {_STEP * 1000:.0f}
till = math.max(till, now + ARGV[6])
local offset, ends = string.format('%d', last + 1), string.format('%d', till)
if tonumber(ends) ~= till then ends = string.format('%.0f', till) end
redis.call('HSET', meta, 'last', offset, 'until', ends)
if before <= now then
  head = till
  redis.call('DEL', stream)
  redis.call('HSET', meta, 'head', ends)
end
local entry = offset .. '-' .. ends
local there = redis.call('XADD', stream, 'NOMKSTREAM', 'MAXLEN', '=', messages, entry, 'd', data)
if not there then redis.call('XADD', stream, 'MAXLEN', '=', messages, entry, 'd', data) end
if till > goes or not there then
  goes = math.ceil(till / {_STEP * 1000:.0f}) * {_STEP * 1000:.0f}
  redis.call('PEXPIREAT', stream, string.format('%.0f', goes))
  use()
end
if head <= now then
  for _ = 1, 100 do
    local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
    if not first then break end
    head = tonumber(string.match(first[1], '%d+$'))
    if head > now then break end
    redis.call('XDEL', stream, first[1])
  end
  redis.call('HSET', meta, 'head', head)
end
if key then
  redis.call('SET', key, epoch .. ':' .. offset, 'PX', {IDEMPOTENT_FOR * 1000:.0f})
end
redis.call(ARGV[2], channel, '@' .. epoch .. ':' .. offset .. ':' .. last .. '\\n' .. data)
return redis.status_reply(epoch .. ' ' .. offset .. ' appended')
"""
# No entry is kept for less than one before it, so those that are too old are always the first ones. The hash is
# written first: Redis looks before the first change alone whether it has memory left. Publishing comes last: what
# is kept and was not heard is read later. A stream that was evicted has lost its lifetime, too. A call is a
# microsecond, and so is a number in `%.0f`: `%d` costs less, and has no room for times on 32 bits.

_READ: Final = f"""{_BEGIN}
use()
local heads, messages = {{}}, {{}}
if ARGV[3] ~= '0' and till > now then
  local rows = redis.call('XREVRANGE', stream, '+', ARGV[2], 'COUNT', ARGV[3])
  for number = #rows, 1, -1 do
    local data = rows[number][2][2]
    heads[#heads + 1] = rows[number][1] .. '-' .. #data
    messages[#messages + 1] = data
  end
end
return {{epoch, last, now, table.concat(heads, ' '), table.concat(messages)}}
"""
# All messages in one string, and where each ends: redis-py is slow with many small ones.

_NAMES: Final = {
    script: hashlib.sha1(script.encode("ascii"), usedforsecurity=False).hexdigest() for script in (_APPEND, _READ)
}


async def append_by(ask: Ask, messages: Sequence[Append], *, command: str) -> list[Appended]:
    """See `StreamConnection.append`: one request, and a second one where the server does not know the script.

    Args:
        ask: On a connection that nobody else uses meanwhile.
        messages: Of one node.
        command: What publishes: `PUBLISH`, or `SPUBLISH`.

    Raises:
        ConfigurationError: The user lacks a right, or a version is too long. The connection is as good as before.
        BrokerError: The server refuses one; others may have been appended.
    """
    answers = await _run(ask, _APPEND, [_call(message, command) for message in messages])
    return [_where(answer) for answer in answers]


async def read_by(ask: Ask, channel: str, *, after: int, most: int) -> Page:
    """See `StreamConnection.read`.

    Raises:
        ConfigurationError: The user lacks a right. The connection is as good as before.
        BrokerError: The server refuses it.
    """
    first = min(max(after, 0) + 1, _HIGHEST)
    call: Words = (2, *_keys(channel), secrets.token_urlsafe(8), first, most)
    ((epoch, last, now, heads, messages),) = await _run(ask, _READ, [call])
    entries = []
    end = 0
    for head in heads.split():
        offset, until, size = map(int, head.split(b"-"))
        begin, end = end, end + size
        if until > now:
            entries.append(Entry(offset, offset - 1, messages[begin:end]))
    return Page(epoch.decode("ascii"), int(last), entries)


def _where(answer: bytes) -> Appended:
    epoch, offset, what = answer.decode("ascii").split()
    return Appended(epoch, int(offset), repeated=what == "repeated", stale=what == "stale")


def _call(message: Append, command: str) -> Words:
    keys = _keys(message.channel)
    if message.idempotency_key is not None:
        hashed = hashlib.sha256(message.idempotency_key.encode(errors="surrogatepass")).hexdigest()
        keys = (*keys, f"{{{message.channel}}}:i:{hashed}")
    words: Words = (
        len(keys),
        *keys,
        secrets.token_urlsafe(8),
        command,
        message.channel,
        message.data,
        message.messages,
        max(math.ceil(min(message.seconds, _LONGEST) * 1000), 1),
    )
    return words if message.version is None else (*words, _sortable(message.version))


def _keys(channel: str) -> tuple[str, ...]:
    return f"{{{channel}}}:s", f"{{{channel}}}:m"


def _sortable(version: int) -> str:
    """Digits in the order of the versions: numbers in Lua are exact up to 2**53 alone."""
    if not -_VERSION_ZERO < version < _VERSION_ZERO:
        raise ConfigurationError(f"RedisBroker: a version may have {_VERSION_DIGITS - 1} digits")
    return f"{version + _VERSION_ZERO:0{_VERSION_DIGITS}d}"


async def _run(ask: Ask, script: str, calls: Sequence[Words]) -> Sequence[Any]:
    """What the script gives for each, in this order."""
    commands: list[Words] = [("EVALSHA", _NAMES[script], *call) for call in calls]
    answers = await ask(commands)
    unknown = [number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if unknown:
        first = unknown[0]
        if len(unknown) < len(answers) - first:
            raise BrokerError("a script was removed and loaded again while messages were appended")
        loaded, *others = await ask([("SCRIPT", "LOAD", script), *commands[first:]])
        _check([loaded])
        answers = [*answers[:first], *others]
    _check(answers)
    return answers


def _check(answers: Sequence[Any]) -> None:
    for answer in answers:
        if isinstance(answer, NoPermissionError) or (
            isinstance(answer, ResponseError) and _REFUSED.search(str(answer))
        ):
            raise ConfigurationError(
                f"RedisBroker: this server, or the rights of this user, are not enough for history: {answer}"
            ) from answer
        if isinstance(answer, ResponseError):
            raise BrokerError(f"Redis could not keep, or read, a message: {answer}") from answer
