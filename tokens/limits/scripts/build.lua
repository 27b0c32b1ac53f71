-- Builds a subject from what the ledger says of it, if it is missing; with `asked.settled_at_ms`, one that is
-- there too, if nothing of it was settled since then. Not if a new period has begun since the ledger was read.

for window = 1, 4 do
  if asked.periods[window] ~= periods[window] then return answer({}) end
end

local subject = find(asked.id)
if subject then
  if not asked.settled_at_ms or subject.settled_at_ms > asked.settled_at_ms then return answer({}) end
  subject.recounts = subject.recounts + 1
else
  subject = {
    id = asked.id, born = asked.born, recounts = 0, active = 0, reserved = {0, 0, 0, 0},
    periods = periods, settled_at_ms = 0,
  }
  subjects[asked.id] = subject
end
subject.read_at_ms = asked.read_at_ms
-- Requests that are running are not in the ledger.
subject.requests = asked.tally.requests + subject.active
subject.spent = asked.tally.spent

local key = recent_key(subject)
for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
  local lease = load_lease(string.match(member, '^(.*):'))
  if not lease or lease.state == 'settled' then redis.call('ZREM', key, member) end
end
for i, admission in ipairs(asked.tally.recent) do
  redis.call('ZADD', key, admission[1], 'ledger:' .. i .. ':' .. string.format('%.0f', admission[2]))
end
redis.call('EXPIRE', key, RECENT_SECONDS)
subject.recent_model_tokens = 0
for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
  subject.recent_model_tokens = subject.recent_model_tokens + model_tokens_of(member)
end
forget_old(subject)
return answer({is_built = true})
