package redis

// setLimitScript sets what SetLimit has for a rule. ARGV: the rule, and how many, or
// "" for nothing.
var setLimitScript = script(`
if ARGV[2] == "" then return soft("HDEL", ours .. "limits", ARGV[1]) end
return firm("HSET", ours .. "limits", ARGV[1], ARGV[2])`)

// letInScript lets tasks in under some keys of the rule ARGV[1], after the member
// ARGV[2] of taskctx:limit:keys. It answers with the last of them, "" if there are no
// more.
var letInScript = script(limitPrelude + `
local from = ARGV[2] == "" and "[" .. ARGV[1] .. "\0" or "(" .. ARGV[2]
local keys = soft("ZRANGEBYLEX", ours .. "limit:keys", from, "(" .. ARGV[1] .. "\1", "LIMIT", 0, 100) or {}
for _, m in ipairs(keys) do
	if #m == #ARGV[1] + 33 then letIn(string.sub(m, -32), ARGV[1]) end
end
settle()
return keys[100] or ""`)

// openRatesScript lets tasks in that wait for rates whose time has come, or that a script
// before had to leave. It answers with the time in µs until the next ones are to be
// let in, or "".
var openRatesScript = script(limitPrelude + `
local function open(set, members)
	for _, m in ipairs(members or {}) do
		redis.call(set == ours .. "limit:more" and "SREM" or "ZREM", set, m)
		letIn(string.sub(m, -32), string.sub(m, 1, -34))
	end
end
open(ours .. "limit:wake", soft("ZRANGEBYSCORE", ours .. "limit:wake", "-inf", int(micros()), "LIMIT", 0, 300))
open(ours .. "limit:more", soft("SRANDMEMBER", ours .. "limit:more", 10))
settle()
` + untilRoom + `
return untilRoom()`)

// untilRoom is the time in µs until openRatesScript has something to do, or "".
const untilRoom = `
local function untilRoom()
	if redis.call("EXISTS", ours .. "limit:more") == 1 then return "0" end
	local first = soft("ZRANGE", ours .. "limit:wake", 0, 0, "WITHSCORES")
	if not first or not first[2] then return "" end
	clock = nil
	return int(math.max(tonumber(first[2]) - micros(), 0))
end
`

// sweepPlacesScript takes the places from tasks that hold them without a right, as far
// as some keys are concerned: another program has ended, deleted or moved them. It lets
// others in. ARGV: for how many ms no other worker is to begin, "" if it goes on; and
// how many keys. It answers with 1 if there are more, and with 2 if there are and most
// of these are forgotten now.
var sweepPlacesScript = script(limitPrelude + `
local all, at = ours .. "limit:keys", ours .. "limit:at"
if ARGV[1] ~= "" then
	if (soft("ZCARD", all) or 0) == 0 then
		redis.call("DEL", ours .. "limit:rates") -- of an older version
		return 0
	end
	if not redis.call("SET", ours .. "limit:looked", 1, "NX", "PX", ARGV[1]) then return 0 end
end
local function holds(place, h)
	local q, id, n = placedBy(place)
	local v = q and soft("HMGET", t(q, id), "state", "taskctx_limits", "taskctx_aside", "taskctx_name")
	local ls = v and v[1] and limitsOf(v[2])
	local l = ls and ls[n]
	if not l or l.h ~= h or v[1] == "completed" or v[1] == "archived" then return false end
	if l.o then return true end
	if v[1] == "active" then return not l.p end
	return v[1] == "scheduled" and v[3] and not isPaused(q, v[4])
end
local last = soft("GET", at) or ""
local keys = soft("ZRANGEBYLEX", all, last == "" and "-" or "(" .. last, "+", "LIMIT", 0, ARGV[2]) or {}
for _, m in ipairs(keys) do
	local h, rule = string.sub(m, -32), string.sub(m, 1, -34)
	local held = limitKey(h, "held")
	local some = (soft("SCARD", held) or 0) > 100 and soft("SRANDMEMBER", held, 100) or soft("SMEMBERS", held)
	for _, place in ipairs(some or {}) do
		if not holds(place, h) and redis.call("SREM", held, place) == 1 then counted(h, "held", -1) end
	end
	letIn(h, rule)
end
settle()
local more = #keys == tonumber(ARGV[2])
redis.call("SET", at, more and keys[#keys] or "")
if not more then return 0 end
return forgotten * 2 > #keys and 2 or 1`)

// leavePausedScript gives up the places of ready tasks that are paused, of one lot.
// ARGV: the queue, the name or "" for all, and a cursor. It answers with the next one.
var leavePausedScript = script(limitPrelude + `
local q = ARGV[1]
local lot = soft("ZSCAN", k(q, "taskctx:ready"), ARGV[3], "COUNT", 200)
if not lot then return "0" end
for i = 1, #lot[2], 2 do
	local v = soft("HMGET", t(q, lot[2][i]), "state", "taskctx_limits", "taskctx_name", "taskctx_aside")
	if v and v[1] == "scheduled" and v[4] == "" and (ARGV[2] == "" or v[3] == ARGV[2]) then
		quit(q, lot[2][i], limitsOf(v[2]), false)
	end
end
settle()
return lot[1]`)

// limitCountsScript counts the places of some keys after the member ARGV[1] of
// taskctx:limit:keys, ARGV[2] at most. It answers with the last of them, "" if there
// are no more, and for each rule with the rule, what SetLimit has set or "", the time
// of a rate in ns or "", and how many keys, places and waiting tasks there are.
var limitCountsScript = script(limitPrelude + `
local keys = soft("ZRANGEBYLEX", ours .. "limit:keys", ARGV[1] == "" and "-" or "(" .. ARGV[1], "+", "LIMIT", 0, ARGV[2]) or {}
local rules, of = {}, {}
for _, m in ipairs(keys) do
	local h, rule = string.sub(m, -32), string.sub(m, 1, -34)
	local r = of[rule]
	if not r then
		r = {rule, soft("HGET", ours .. "limits", rule) or "", soft("HGET", ours .. "limit:rates", rule) or "", 0, 0, 0}
		of[rule], rules[#rules+1] = r, r
	end
	local held, waits = soft("SCARD", limitKey(h, "held")) or 0, soft("ZCARD", limitKey(h, "wait")) or 0
	if r[3] ~= "" then
		local per = tonumber(r[3]) / 1000
		local from = micros() - per - math.min(per / 50, 1e6)
		for _, at in ipairs(soft("LRANGE", limitKey(h, "starts"), 0, -1) or {}) do
			if tonumber(at) > from then held = held + 1 end
		end
	end
	if held + waits > 0 then r[4] = r[4] + 1 end
	r[5], r[6] = r[5] + held, r[6] + waits
end
return {#keys == tonumber(ARGV[2]) and keys[#keys] or "", rules}`)
