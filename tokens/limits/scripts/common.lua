-- In front of every script. ARGV[1] is what is asked, in MessagePack; so is the answer. KEYS[1] begins all keys. The
-- server's run follows: what a server that was restarted has read from its disk is out of date. Then:
--
--   :subject:<id>  a subject's counters, as values.py names them
--   :recent:<id>   its requests of the last minute, "<request id>:<model tokens>", by instant
--   :lease:<id>    of a request, which is `held`; `swept`: not renewed in time; or `settled`
--   :leases        the held ones, by the instant at which they run out
--
-- A subject is `born` when it is built from the ledger, a random word; a lease says of which one it is a part.
-- It can be built again in place: `recounts` says how often. Amounts are whole numbers below 2^53.

local MINUTE_MS, DAY_MS = 60000, 86400000
local SUBJECT_SECONDS = 3600   -- unused for so long, it is forgotten: the ledger knows it
local RECENT_SECONDS = 70
local LEASE_SECONDS = 86400    -- longer than any that is held and not swept
local SETTLED_SECONDS = 120    -- longer than a settle is tried again

local asked = cmsgpack.unpack(ARGV[1])
local info = redis.pcall('INFO', 'server') -- perhaps not permitted
local run = type(info) == 'string' and string.match(info, 'run_id:(%w+)') or ''
local prefix = KEYS[1] .. ':' .. run
local leases_key = prefix .. ':leases'

local now_ms = asked.now_ms
if not now_ms then
  local time = redis.call('TIME')
  now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
end

-- As in periods.py. The month by days_from_civil's inverse, http://howardhinnant.github.io/date_algorithms.html
local function periods_at(at_ms)
  local day = math.floor(at_ms / DAY_MS)
  local shifted = day + 719468
  local era = math.floor(shifted / 146097)
  local day_of_era = shifted - era * 146097
  local year_of_era = math.floor((day_of_era - math.floor(day_of_era / 1460)
    + math.floor(day_of_era / 36524) - math.floor(day_of_era / 146096)) / 365)
  local day_of_year = day_of_era
    - (365 * year_of_era + math.floor(year_of_era / 4) - math.floor(year_of_era / 100))
  local month_from_march = math.floor((5 * day_of_year + 2) / 153)
  local month = (era * 400 + year_of_era) * 12 + month_from_march + 2
  return {0, day, math.floor((day + 3) / 7), month}
end

local periods = periods_at(now_ms)
local subjects = {}

local function recent_key(subject) return prefix .. ':recent:' .. subject.id end
local function lease_key(id) return prefix .. ':lease:' .. id end

local function model_tokens_of(member) return tonumber(string.match(member, '%d+$')) end

local function roll(subject)
  for window = 1, 4 do
    if periods[window] > subject.periods[window] then
      subject.spent[window], subject.reserved[window] = 0, 0
      subject.periods[window] = periods[window]
    end
  end
end

local function forget_old(subject)
  local key, before_ms = recent_key(subject), now_ms - MINUTE_MS
  local old = redis.call('ZRANGEBYSCORE', key, '-inf', before_ms)
  for _, member in ipairs(old) do
    subject.recent_model_tokens = subject.recent_model_tokens - model_tokens_of(member)
  end
  if #old > 0 then redis.call('ZREMRANGEBYSCORE', key, '-inf', before_ms) end
  subject.recent_requests = redis.call('ZCARD', key)
  if subject.recent_requests == 0 then subject.recent_model_tokens = 0 end
end

-- The subject as it is now, or false: it must be built from the ledger. `answer` saves what was found.
local function find(id)
  if subjects[id] == nil then
    local packed = redis.call('GET', prefix .. ':subject:' .. id)
    subjects[id] = packed and cmsgpack.unpack(packed)
    if packed then
      roll(subjects[id])
      forget_old(subjects[id])
    end
  end
  return subjects[id]
end

local function cold_of(ids)
  local cold = {}
  for _, id in ipairs(ids) do
    if not find(id) then cold[#cold + 1] = id end
  end
  return cold
end

local function answer(facts)
  for id, subject in pairs(subjects) do
    if subject then
      redis.call('SET', prefix .. ':subject:' .. id, cmsgpack.pack(subject), 'EX', SUBJECT_SECONDS)
    end
  end
  facts.now_ms, facts.periods = now_ms, periods
  return cmsgpack.pack(facts)
end

local function counters_of(ids)
  local counters = {}
  for i, id in ipairs(ids) do counters[i] = find(id) end
  return counters
end

-- Leases

local function load_lease(id)
  local packed = redis.call('GET', lease_key(id))
  return packed and cmsgpack.unpack(packed)
end

local function save_lease(lease)
  redis.call('SET', lease_key(lease.id), cmsgpack.pack(lease), 'EX', LEASE_SECONDS)
end

local function keep_until(lease, expires_at_ms)
  save_lease(lease)
  redis.call('ZADD', leases_key, expires_at_ms, lease.id)
  redis.call('EXPIRE', leases_key, LEASE_SECONDS)
end

-- `part` is a lease's part of one subject: {id, born, recounts, model_tokens}.
local function is_held(lease, part, subject)
  return lease.state == 'held' and part.born == subject.born
end

-- Whether the subject's `requests` have this one in them. One that is running is not in the ledger.
local function is_counted(lease, part, subject)
  if part.born ~= subject.born then return false end
  return lease.state == 'held' or part.recounts == nil or part.recounts == subject.recounts
end

local function reserve(subject, began, microusd)
  for window = 1, 4 do
    if began[window] == subject.periods[window] then
      subject.reserved[window] = math.max(0, subject.reserved[window] + microusd)
    end
  end
end

local function release(lease, subject)
  subject.active = math.max(0, subject.active - 1)
  reserve(subject, lease.periods, -lease.reserved_microusd)
end

local function member_of(lease, part)
  return lease.id .. ':' .. string.format('%.0f', part.model_tokens)
end

local function remember(lease, part, subject)
  if lease.at_ms <= now_ms - MINUTE_MS then return end
  local key = recent_key(subject)
  if redis.call('ZADD', key, lease.at_ms, member_of(lease, part)) == 1 then
    redis.call('EXPIRE', key, RECENT_SECONDS)
    subject.recent_requests = subject.recent_requests + 1
    subject.recent_model_tokens = subject.recent_model_tokens + part.model_tokens
  end
end

-- Whether it was remembered.
local function unremember(lease, part, subject)
  if redis.call('ZREM', recent_key(subject), member_of(lease, part)) == 0 then return false end
  subject.recent_requests = subject.recent_requests - 1
  subject.recent_model_tokens = subject.recent_model_tokens - part.model_tokens
  return true
end

-- Count a lease into a subject, as far as it is not.
local function hold(lease, part, subject)
  if is_held(lease, part, subject) then return end
  if not is_counted(lease, part, subject) then
    subject.requests = subject.requests + 1
    remember(lease, part, subject)
  end
  subject.active = subject.active + 1
  reserve(subject, lease.periods, lease.reserved_microusd)
  part.born, part.recounts = subject.born, subject.recounts
end
