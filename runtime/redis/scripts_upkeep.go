package redis

// forwardScript makes due tasks pending. ARGV: the time as a score and in ns,
// then the queues. It answers with how many, and the score of the next, or "";
// with suspended tasks whose time has come, as queue and id: of those with
// children that have not ended, which stay where they are; and with the queue
// and id of a task whose children are to be cancelled; and with the time in µs until
// openRatesScript has something to do, or "".
var forwardScript = script(journalPrelude + untilRoom + `
local n, next, waits, orphaned = 0, "", {}, {}
for i = 3, #ARGV do
	local q = ARGV[i]
	local moved = 0
	for _, set in ipairs({"scheduled", "retry"}) do
		for _, id in ipairs(firm("ZRANGEBYSCORE", k(q, set), "-inf", ARGV[1], "LIMIT", 0, 200)) do
			local v = soft("HMGET", t(q, id), "state", "taskctx", "taskctx_parked", "taskctx_name", "taskctx_limits")
			local ls = v and v[5] and limitsOf(v[5])
			local due = ls and tonumber(soft("ZSCORE", k(q, set), id) or "")
			local waited = v and v[1] == "scheduled" and has(v[2], '"waits":true')
				and soft("ZSCORE", k(q, "taskctx:waits"), id)
			local look = waited and num(soft("HGET", journal(q, id), "_open")) > 0
			if look then
				waits[#waits+1], waits[#waits+2] = q, id
			elseif waited then
				wake(q, id, ARGV[2])
			else
				redis.call("ZREM", k(q, set), id)
			end
			if not waited and v and v[1] and not elsewhere(q, id, v[1]) then
				if v[3] then unpark(q, id, v[4]) end
				if ls then
					come(q, id, ls, due and due * 1e6 or micros(), ran(v[2]))
				else
					if ran(v[2]) then soft("SADD", k(q, "taskctx:again"), id) end
					redis.call("HSET", t(q, id), "state", "pending", "pending_since", ARGV[2])
					firm("LPUSH", k(q, "pending"), id)
				end
			end
			moved = moved + 1
		end
		local first = redis.call("ZRANGE", k(q, set), 0, 0, "WITHSCORES")
		if first[2] and (next == "" or tonumber(first[2]) < tonumber(next)) then next = first[2] end
	end
	if moved > 0 then tell("new", q) end
	n = n + moved
	local id = not orphaned[1] and soft("SRANDMEMBER", k(q, "taskctx:bereft"))
	if id then orphaned = {q, id} end
end
return {n, next, waits, orphaned, untilRoom()}`)

// cleanScript forgets up to ARGV[1] ended tasks. ARGV[2] is the score before
// which completed tasks are forgotten, ARGV[3] that of archived ones; the
// queues follow. The score of a completed task is the end of its record, as in
// asynq. That of an archived one is 90 days before, so that asynq itself
// forgets it then. No more than 10,000 of them are kept, as in asynq.
var cleanScript = script(journalPrelude + `
local left = tonumber(ARGV[1])
local function drop(q, set, ids)
	if #ids == 0 then return end
	local some = set == "archived" and (soft("SCARD", k(q, "taskctx:cancelled")) or 0) > 0
	local journals = (soft("SCARD", k(q, "taskctx:journals")) or 0) > 0
	for _, id in ipairs(ids) do
		redis.call("ZREM", k(q, set), id)
		redis.call("DEL", t(q, id))
		if some then soft("SREM", k(q, "taskctx:cancelled"), id) end
		if journals then burn(q, id) end
		left = left - 1
	end
end
for i = 4, #ARGV do
	local q = ARGV[i]
	if left > 0 then
		drop(q, "completed", firm("ZRANGEBYSCORE", k(q, "completed"), "-inf", ARGV[2], "LIMIT", 0, left))
	end
	if left > 0 then
		drop(q, "archived", firm("ZRANGEBYSCORE", k(q, "archived"), "-inf", ARGV[3], "LIMIT", 0, left))
	end
	local over = redis.call("ZCARD", k(q, "archived")) - 10000
	if left > 0 and over > 0 then
		drop(q, "archived", redis.call("ZRANGE", k(q, "archived"), 0, math.min(over, left) - 1))
	end
end
return tonumber(ARGV[1]) - left`)

// tidyScript looks at a few members of the sets of our own in the queues
// ARGV[2] onwards, and takes out the wrong ones: asynq's tools change tasks
// without updating them. ARGV[1] is a random number.
var tidyScript = script(`
local at = tonumber(ARGV[1])
for i = 2, #ARGV do
	local q = ARGV[i]
	for _, id in ipairs(soft("SRANDMEMBER", k(q, "taskctx:again"), 100) or {}) do
		local s = soft("HGET", t(q, id), "state")
		local limited = s == "scheduled" and redis.call("HEXISTS", t(q, id), "taskctx_aside") == 1
		if s ~= "pending" and s ~= "retry" and not limited then redis.call("SREM", k(q, "taskctx:again"), id) end
	end
	for _, id in ipairs(soft("SRANDMEMBER", k(q, "taskctx:cancelled"), 100) or {}) do
		if not soft("ZSCORE", k(q, "archived"), id) then redis.call("SREM", k(q, "taskctx:cancelled"), id) end
	end
	local n = soft("ZCARD", k(q, "taskctx:parked")) or 0
	if n > 0 then
		for _, m in ipairs(redis.call("ZRANGE", k(q, "taskctx:parked"), at % n, at % n + 99)) do
			local id = string.match(m, "%z(.*)$")
			if not id or soft("HGET", t(q, id), "state") ~= "retry" then redis.call("ZREM", k(q, "taskctx:parked"), m) end
		end
	end
	n = soft("ZCARD", k(q, "taskctx:waits")) or 0
	if n > 0 then
		for _, id in ipairs(redis.call("ZRANGE", k(q, "taskctx:waits"), at % n, at % n + 99)) do
			if not soft("ZSCORE", k(q, "scheduled"), id) then redis.call("ZREM", k(q, "taskctx:waits"), id) end
		end
	end
	for _, set in ipairs({"taskctx:ready", "taskctx:aside"}) do
		n = soft("ZCARD", k(q, set)) or 0
		for _, id in ipairs(n > 0 and redis.call("ZRANGE", k(q, set), at % n, at % n + 99) or {}) do
			local v = soft("HMGET", t(q, id), "state", "taskctx_aside")
			if not v or v[1] ~= "scheduled" or not v[2] or (v[2] == "") ~= (set == "taskctx:ready") then
				redis.call("ZREM", k(q, set), id)
			end
		end
	end
	n = soft("ZCARD", k(q, "archived")) or 0
	if n > 0 then -- older versions kept no set of the cancelled ones
		for _, id in ipairs(redis.call("ZRANGE", k(q, "archived"), at % n, at % n + 99)) do
			local own = soft("HGET", t(q, id), "taskctx")
			if has(own, '"cancelled":true') then soft("SADD", k(q, "taskctx:cancelled"), id) end
		end
	end
	if soft("LLEN", k(q, "pending")) == 0 then redis.call("DEL", k(q, "taskctx:gone")) end
end
return 1`)

// sweepScript deletes the keys ARGV that no task holds.
var sweepScript = script(holder + `
local n = 0
for _, name in ipairs(ARGV) do
	local key = string.sub(name, #ours + 5)
	local v = soft("GET", name)
	if v and #v > 36 and not holder(key, "") then
		redis.call("DEL", name)
		n = n + 1
	end
end
return n`)
