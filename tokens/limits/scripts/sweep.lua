-- Gives back what leases hold that were not renewed in time. At most `asked.at_most` of them.

local swept = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', leases_key, '-inf', now_ms, 'LIMIT', 0, asked.at_most)) do
  redis.call('ZREM', leases_key, id)
  local lease = load_lease(id)
  if lease and lease.state == 'held' then
    for _, part in ipairs(lease.parts) do
      local subject = find(part.id)
      if subject and is_held(lease, part, subject) then
        release(lease, subject)
        part.recounts = subject.recounts
      end
    end
    lease.state = 'swept'
    save_lease(lease)
    swept = swept + 1
  end
end
return answer({swept = swept})
