package redis

// A task with limits that is due is in asynq's scheduled set, with the score
// forever, so that no server of asynq runs it regardless of them. Either it is in
// the queue's set taskctx:ready, by its due time in µs, and a worker may take it
// from there; or it is in taskctx:aside, by the same, and waits for a place under
// one of its limits. Its hash has, beside asynq's fields:
//
//   - taskctx_limits: its limits; see encodeLimits.
//   - taskctx_aside: the rule of the limit that it waits for, "" if it is ready.
//   - taskctx_due: its due time in µs.
//
// Keys of a limit's key, whose hash is <h>:
//
//   - taskctx:{limit:<h>}:held: the places, each named after the task that holds it.
//     A rate's are of tasks that were let in and have not begun.
//   - taskctx:{limit:<h>}:wait: those that wait for one, in their order.
//   - taskctx:{limit:<h>}:starts: when runs began under a rate, in µs.
//
// And for all:
//
//   - taskctx:limits: by rule, what SetLimit has set; taskctx:limit:rates: by rule,
//     the time of a rate in ns.
//   - taskctx:limit:keys: the rules and keys that have places, for those who look at
//     all; taskctx:limit:wake: those of rates that have room at a time, in µs;
//     taskctx:limit:more: those that have room now, where a script has let in as
//     many as it may.
//   - taskctx:limit:turn: the last turn of an order; taskctx:limit:at: how far the
//     sweep has got; taskctx:limit:looked: somebody has just swept.

// limitPrelude has what scripts about limits need. It follows prelude.
//
// A script takes places with enter, gives them up with quit, and lets others in with
// settle at its end.
const limitPrelude = `
local function limitKey(h, what) return "taskctx:{limit:" .. h .. "}:" .. what end
local function limitsOf(text)
	if not text or text == "" then return nil end
	local ok, ls = pcall(cjson.decode, text)
	if not ok or type(ls) ~= "table" or #ls == 0 then return nil end
	for _, l in ipairs(ls) do
		if type(l) ~= "table" or type(l.h) ~= "string" or type(l.r) ~= "string" or type(l.m) ~= "number" then return nil end
	end
	return ls
end
-- placed is the name of a task's place under its limit n.
local function placed(q, id, n) return n .. ":" .. #id .. ":" .. id .. q end
local function placedBy(place)
	local n, size, at = string.match(place, "^(%d+):(%d+):()")
	if not n then return nil end
	return string.sub(place, at + tonumber(size)), string.sub(place, at, at + tonumber(size) - 1), tonumber(n)
end
local clock
local function micros()
	if not clock then
		local at = redis.call("TIME")
		clock = tonumber(at[1]) * 1e6 + tonumber(at[2])
	end
	return clock
end
local function int(n) return string.format("%.0f", n) end
local pauses = {}
local function isPaused(q, name)
	if pauses[q] == nil then pauses[q] = redis.call("EXISTS", k(q, "paused")) == 1 end
	return pauses[q] or name and soft("HEXISTS", "taskctx:paused", name) == 1
end
-- room reports whether a key has one more place, and how many are held.
local function room(l)
	local held = soft("SCARD", limitKey(l.h, "held")) or 0
	if l.o then return held < 1, held end
	local most = tonumber(soft("HGET", "taskctx:limits", l.r) or "") or l.m
	if not l.p then return held < most, held end
	if most <= 0 then return false, held end -- until SetLimit
	local starts, now, at = limitKey(l.h, "starts"), micros(), nil
	if held >= most then
		at = now + l.p -- one of those has not even begun
	else
		local n = soft("LLEN", starts) or 0
		while n > 0 and tonumber(redis.call("LINDEX", starts, n - 1)) > now do -- the clock was set back
			redis.call("LSET", starts, n - 1, int(now))
			n = n - 1
		end
		local began = tonumber(soft("LINDEX", starts, -(most - held)) or "")
		at = began and began + l.p
		if not at or at <= now then return true, held end
	end
	firm("ZADD", "taskctx:limit:wake", int(at), l.r .. "\0" .. l.h)
	return false, held
end
-- enter takes the places that a task lacks, in order. If there is none it waits for
-- that, and enter returns the limit's rule. A task that is apart, not due or paused,
-- takes those of orders alone, which come first.
local function enter(q, id, ls, due, apart)
	for n, l in ipairs(ls) do
		if apart and not l.o then return nil end
		local place, held, wait = placed(q, id, n), limitKey(l.h, "held"), limitKey(l.h, "wait")
		if soft("SISMEMBER", held, place) ~= 1 then
			local others = soft("ZCARD", wait) or 0
			local free, taken = others == 0, 0
			if free then free, taken = room(l) end
			if others + taken == 0 then
				firm("ZADD", "taskctx:limit:keys", 0, l.r .. "\0" .. l.h)
				if l.d then firm("HSET", "taskctx:limit:rates", l.r, l.d) end
			end
			if not free then
				firm("ZADD", wait, l.o and firm("INCR", "taskctx:limit:turn") or int(due), place)
				return l.r
			end
			firm("SADD", held, place)
		end
	end
	return nil
end
-- unset takes a task out of those that are ready or aside.
local function unset(q, id)
	if redis.call("HDEL", t(q, id), "taskctx_aside") == 0 then return end
	soft("ZREM", k(q, "scheduled"), id)
	soft("ZREM", k(q, "taskctx:ready"), id)
	soft("ZREM", k(q, "taskctx:aside"), id)
	soft("SREM", k(q, "taskctx:again"), id)
end
-- put makes a task wait for a place under the rule, or ready.
local function put(q, id, rule, due, again)
	redis.call("HSET", t(q, id), "state", "scheduled", "taskctx_aside", rule or "", "taskctx_due", int(due))
	redis.call("HDEL", t(q, id), "pending_since")
	firm("ZADD", k(q, "scheduled"), ` + foreverText + `, id)
	if again then soft("SADD", k(q, "taskctx:again"), id) end
	soft("ZREM", k(q, rule and "taskctx:ready" or "taskctx:aside"), id)
	firm("ZADD", k(q, rule and "taskctx:aside" or "taskctx:ready"), int(due), id)
	if not rule then tell("taskctx:new", q) end
end
-- come makes a task that is due take its places, and ready or aside.
local function come(q, id, ls, due, again)
	local rule = enter(q, id, ls, due, isPaused(q, soft("HGET", t(q, id), "taskctx_name")))
	put(q, id, rule, due, again)
end
-- new stores a task with limits.
local function new(q, id, msg, due, name, limits)
	local ls = limitsOf(limits)
	if not ls then return false end
	redis.call("HSET", t(q, id), "msg", msg, "taskctx_name", name, "taskctx_limits", limits)
	if due == "" then
		come(q, id, ls, micros(), false)
		return true
	end
	local rule = enter(q, id, ls, tonumber(due) * 1e6, true)
	if rule then
		put(q, id, rule, tonumber(due) * 1e6, false)
	else
		redis.call("HSET", t(q, id), "state", "scheduled")
		firm("ZADD", k(q, "scheduled"), due, id)
	end
	return true
end
-- quit gives up a task's places, and those that it waits for: all, or those of limits
-- that keep no order.
local freed = {}
local function quit(q, id, ls, all)
	for n, l in ipairs(ls or {}) do
		if all or not l.o then
			local place = placed(q, id, n)
			local gone = soft("SREM", limitKey(l.h, "held"), place)
			if gone ~= 1 then soft("ZREM", limitKey(l.h, "wait"), place) end
			freed[#freed+1] = l
		end
	end
end
-- admit lets a task in that has waited for a place under its limit n, and has got it.
local function admit(q, id, ls, due, own, name)
	local later = due > micros()
	local rule = enter(q, id, ls, due, later or isPaused(q, name))
	if rule then
		redis.call("HSET", t(q, id), "taskctx_aside", rule)
		return
	end
	local again = ran(own)
	unset(q, id)
	if later then
		redis.call("HSET", t(q, id), "state", "scheduled")
		firm("ZADD", k(q, "scheduled"), string.format("%.6f", due / 1e6), id)
	else
		put(q, id, nil, due, again)
	end
end
-- letIn gives the free places of a key to those that wait for them.
local steps = 0
local function letIn(h, rule)
	local held, wait = limitKey(h, "held"), limitKey(h, "wait")
	while true do
		local first = soft("ZRANGE", wait, 0, 0)
		local place = first and first[1]
		if not place then break end
		if steps >= 1000 then
			firm("SADD", "taskctx:limit:more", rule .. "\0" .. h)
			return
		end
		steps = steps + 1
		local q, id, n = placedBy(place)
		local v = q and soft("HMGET", t(q, id), "state", "taskctx_aside", "taskctx_limits", "taskctx_due", "taskctx", "taskctx_name")
		local ls = v and limitsOf(v[3])
		local l = ls and ls[n]
		if not l or l.h ~= h or v[1] ~= "scheduled" or (v[2] or "") == "" then
			redis.call("ZREM", wait, place) -- it waits no more
		else
			local due = tonumber(v[4] or "") or micros()
			if not l.o and isPaused(q, v[6]) then -- it keeps nobody from the place meanwhile
				quit(q, id, ls, false)
				unset(q, id)
				put(q, id, nil, due, ran(v[5]))
			elseif room(l) then
				redis.call("ZREM", wait, place)
				firm("SADD", held, place)
				admit(q, id, ls, due, v[5], v[6])
			else
				return
			end
		end
	end
	if (soft("SCARD", held) or 0) == 0 and redis.call("EXISTS", limitKey(h, "starts")) == 0 then
		soft("ZREM", "taskctx:limit:keys", rule .. "\0" .. h)
		soft("ZREM", "taskctx:limit:wake", rule .. "\0" .. h)
	end
end
-- settle lets others in where places were given up.
local function settle()
	local i = 1
	while freed[i] do
		letIn(freed[i].h, freed[i].r)
		i = i + 1
	end
	freed = {}
end
-- begins counts a run that begins now under its task's rates.
local function begins(q, id, ls)
	for n, l in ipairs(ls) do
		if l.p then
			local key, now = limitKey(l.h, "starts"), micros()
			soft("SREM", limitKey(l.h, "held"), placed(q, id, n))
			for i = 1, 2 do -- so that they do not grow, and none reads many
				local first = tonumber(soft("LINDEX", key, 0) or "")
				if first and first + l.p <= now then redis.call("LPOP", key) end
			end
			firm("RPUSH", key, int(now))
			redis.call("PEXPIRE", key, int(l.p / 1000 + 1000))
		end
	end
end
`

// setLimitScript sets what SetLimit has for a rule. ARGV: the rule, and how many, or
// "" for nothing.
var setLimitScript = script(`
if ARGV[2] == "" then return soft("HDEL", "taskctx:limits", ARGV[1]) end
return firm("HSET", "taskctx:limits", ARGV[1], ARGV[2])`)

// letInScript lets tasks in under some keys of the rule ARGV[1], after the member
// ARGV[2] of taskctx:limit:keys. It answers with the last of them, "" if there are no
// more.
var letInScript = script(limitPrelude + `
local from = ARGV[2] == "" and "[" .. ARGV[1] .. "\0" or "(" .. ARGV[2]
local keys = soft("ZRANGEBYLEX", "taskctx:limit:keys", from, "(" .. ARGV[1] .. "\1", "LIMIT", 0, 100) or {}
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
		redis.call(set == "taskctx:limit:more" and "SREM" or "ZREM", set, m)
		letIn(string.sub(m, -32), string.sub(m, 1, -34))
	end
end
open("taskctx:limit:wake", soft("ZRANGEBYSCORE", "taskctx:limit:wake", "-inf", int(micros()), "LIMIT", 0, 300))
open("taskctx:limit:more", soft("SRANDMEMBER", "taskctx:limit:more", 10))
settle()
` + untilRoom + `
return untilRoom()`)

// untilRoom is the time in µs until openRatesScript has something to do, or "".
const untilRoom = `
local function untilRoom()
	if redis.call("EXISTS", "taskctx:limit:more") == 1 then return "0" end
	local first = soft("ZRANGE", "taskctx:limit:wake", 0, 0, "WITHSCORES")
	if not first or not first[2] then return "" end
	clock = nil
	return int(math.max(tonumber(first[2]) - micros(), 0))
end
`

// sweepPlacesScript takes the places from tasks that hold them without a right, as far
// as some keys are concerned: another program has ended, deleted or moved them. It lets
// others in. ARGV: for how many ms no other worker is to begin, "" if it goes on; and
// how many keys. It answers with 1 if there are more.
var sweepPlacesScript = script(limitPrelude + `
local all, at = "taskctx:limit:keys", "taskctx:limit:at"
if ARGV[1] ~= "" then
	if (soft("ZCARD", all) or 0) == 0 or not redis.call("SET", "taskctx:limit:looked", 1, "NX", "PX", ARGV[1]) then return 0 end
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
		if not holds(place, h) then redis.call("SREM", held, place) end
	end
	letIn(h, rule)
end
settle()
local more = #keys == tonumber(ARGV[2])
redis.call("SET", at, more and keys[#keys] or "")
return more and 1 or 0`)

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
local keys = soft("ZRANGEBYLEX", "taskctx:limit:keys", ARGV[1] == "" and "-" or "(" .. ARGV[1], "+", "LIMIT", 0, ARGV[2]) or {}
local rules, of = {}, {}
for _, m in ipairs(keys) do
	local h, rule = string.sub(m, -32), string.sub(m, 1, -34)
	local r = of[rule]
	if not r then
		r = {rule, soft("HGET", "taskctx:limits", rule) or "", soft("HGET", "taskctx:limit:rates", rule) or "", 0, 0, 0}
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
