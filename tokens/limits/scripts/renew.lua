-- Keeps leases from running out, and makes good what is missing of them: all, where they have run out, or where a
-- subject has been built anew. What they use beyond what they have reserved, they reserve.

local function is_used_up(subject, limits, lease, has_outgrown)
  for window = 1, 4 do
    local budget, spent = limits.budgets[window], subject.spent[window]
    if budget and lease.periods[window] == subject.periods[window]
      and (spent >= budget or (has_outgrown and spent + subject.reserved[window] > budget)) then
      return true
    end
  end
  return false
end

local function renew(lease, request)
  for _, part in ipairs(lease.parts) do hold(lease, part, find(part.id)) end
  lease.state = 'held'
  local grown = math.max(0, request.used_microusd - lease.reserved_microusd)
  lease.reserved_microusd = lease.reserved_microusd + grown
  for _, part in ipairs(lease.parts) do reserve(find(part.id), lease.periods, grown) end
  keep_until(lease, now_ms + asked.lease_ms)

  local born, is_over = {}, false
  local has_outgrown = lease.reserved_microusd > request.estimate_microusd
  for i, part in ipairs(lease.parts) do
    born[i] = part.born
    is_over = is_over or is_used_up(find(part.id), request.limits[i], lease, has_outgrown)
  end
  return {reserved_microusd = lease.reserved_microusd, is_over = is_over, born = born}
end

local cold = cold_of(asked.ids)
if #cold > 0 then return answer({cold = cold}) end

local renewed = {}
for i, request in ipairs(asked.requests) do
  local lease = load_lease(request.lease.id) or request.lease
  if lease.state == 'settled' then
    renewed[i] = {reserved_microusd = 0, is_over = false, born = {}}
  else
    renewed[i] = renew(lease, request)
  end
end
return answer({renewed = renewed})
