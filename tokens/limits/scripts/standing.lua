-- How subjects stand.

local cold = cold_of(asked.ids)
if #cold > 0 then return answer({cold = cold}) end

local settled_at_ms = 0
for _, id in ipairs(asked.ids) do settled_at_ms = math.max(settled_at_ms, find(id).settled_at_ms) end
return answer({counters = counters_of(asked.ids), settled_at_ms = settled_at_ms})
