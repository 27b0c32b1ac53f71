-- Counts a request in for all subjects, or for none: then why.

local function is_over(limit, spent, reserved, needed)
  return spent + reserved + needed > limit or spent >= limit
end

local function fits(subject, limits, part)
  if limits.max_requests and subject.requests >= limits.max_requests then return false end
  if limits.max_concurrent_requests and subject.active >= limits.max_concurrent_requests then return false end
  if limits.max_requests_per_minute and subject.recent_requests >= limits.max_requests_per_minute then
    return false
  end
  if limits.max_model_tokens_per_minute
    and subject.recent_model_tokens + part.model_tokens > limits.max_model_tokens_per_minute then
    return false
  end
  for window = 1, 4 do
    local budget = limits.budgets[window]
    if budget and is_over(budget, subject.spent[window], subject.reserved[window], asked.lease.reserved_microusd)
    then
      return false
    end
  end
  return true
end

local function requests_wait_ms(subject, limit)
  if not limit or subject.recent_requests < limit then return 0 end
  local rank = subject.recent_requests - limit
  return redis.call('ZRANGE', recent_key(subject), rank, rank, 'WITHSCORES')[2] + MINUTE_MS - now_ms
end

local function model_tokens_wait_ms(subject, limit, needed)
  if not limit or needed > limit then return 0 end
  local left, wait_ms, first = limit - subject.recent_model_tokens - needed, 0, 0
  while left < 0 and first < subject.recent_requests do
    local oldest = redis.call('ZRANGE', recent_key(subject), first, first + 99, 'WITHSCORES')
    for i = 1, #oldest, 2 do
      if left >= 0 then break end
      left = left + model_tokens_of(oldest[i])
      wait_ms = oldest[i + 1] + MINUTE_MS - now_ms
    end
    first = first + 100
  end
  return wait_ms
end

-- As verdict.py's model_tokens_to_reserve.
local function bound_to_what_is_left(part, subject, limit)
  if limit and not asked.lease.is_output_stated then
    part.model_tokens = math.min(part.model_tokens, math.max(1, limit - subject.recent_model_tokens))
  end
end

local cold = cold_of(asked.ids)
if #cold > 0 then return answer({cold = cold}) end
if redis.call('EXISTS', lease_key(asked.lease.id)) == 1 then return answer({}) end

local lease, is_free = asked.lease, true
for i, part in ipairs(lease.parts) do
  local subject, limits = find(part.id), asked.limits[i]
  bound_to_what_is_left(part, subject, limits.max_model_tokens_per_minute)
  is_free = is_free and fits(subject, limits, part)
end
if not is_free then
  local waits = {}
  for i, part in ipairs(lease.parts) do
    local subject, limits = find(part.id), asked.limits[i]
    waits[i] = {
      requests_ms = requests_wait_ms(subject, limits.max_requests_per_minute),
      model_tokens_ms = model_tokens_wait_ms(subject, limits.max_model_tokens_per_minute, part.model_tokens),
    }
  end
  return answer({counters = counters_of(asked.ids), waits = waits})
end

lease.state, lease.at_ms, lease.periods = 'new', now_ms, periods
local born, model_tokens = {}, {}
for i, part in ipairs(lease.parts) do
  hold(lease, part, find(part.id))
  born[i], model_tokens[i] = part.born, part.model_tokens
end
lease.state = 'held'
keep_until(lease, now_ms + asked.lease_ms)
return answer({
  is_admitted = true, counters = counters_of(asked.ids), born = born, model_tokens = model_tokens,
})
