-- A request has ended, `asked.age_ms` ago: what it holds becomes its charge. If `asked.is_void`, it never was one.

local facts = asked.lease
local lease = load_lease(facts.id) or facts
if lease.state == 'settled' then return answer({}) end

-- Whether the ledger had its row when the subject was built from there.
local function is_known(subject)
  return asked.is_void or now_ms - asked.age_ms + asked.lag_ms <= subject.read_at_ms
end

local function charge(part, subject)
  for window = 1, 4 do
    if lease.periods[window] == subject.periods[window] then
      subject.spent[window] = subject.spent[window] + asked.charge.microusd
    end
  end
  if unremember(lease, part, subject) then
    part.model_tokens = asked.charge.model_tokens
    remember(lease, part, subject)
  end
  subject.settled_at_ms = now_ms
end

local cold = {}
for _, part in ipairs(lease.parts) do
  local subject = find(part.id)
  if not subject then
    cold[#cold + 1] = part.id
  else
    local was_counted = is_counted(lease, part, subject)
    if is_held(lease, part, subject) then release(lease, subject) end
    if is_known(subject) then
      if was_counted then -- twice: as running, and by the ledger
        subject.requests = subject.requests - 1
        unremember(lease, part, subject)
      end
    else
      if not was_counted then
        subject.requests = subject.requests + 1
        remember(lease, part, subject)
      end
      charge(part, subject)
    end
  end
end
redis.call('SET', lease_key(lease.id), cmsgpack.pack({state = 'settled'}), 'EX', SETTLED_SECONDS)
redis.call('ZREM', leases_key, lease.id)
return answer({cold = cold})
