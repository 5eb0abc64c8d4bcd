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
// settle at its end. Workers are told of a task that is ready where none was before: they
// look until none is. A script that takes tasks itself sets readied, and tells of those
// that it has left with announce.
const limitPrelude = `
local function limitKey(h, what) return ours .. "{limit:" .. h .. "}:" .. what end
local decoded = {}
local function limitsOf(text)
	if not text or text == "" then return nil end
	if decoded[text] then return decoded[text] end
	local ok, ls = pcall(cjson.decode, text)
	if not ok or type(ls) ~= "table" or #ls == 0 then return nil end
	for _, l in ipairs(ls) do
		if type(l) ~= "table" or type(l.h) ~= "string" or type(l.r) ~= "string" or type(l.m) ~= "number" then return nil end
	end
	decoded[text] = ls
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
local pauses, names = {}, {}
local function isPaused(q, name)
	if pauses[q] == nil then pauses[q] = redis.call("EXISTS", k(q, "paused")) == 1 end
	if name and names[name] == nil then names[name] = soft("HEXISTS", ours .. "paused", name) == 1 end
	return pauses[q] or name and names[name]
end
-- countOf has how many places of a key are held and waited for, as the script knows by
-- what it has changed.
local counts = {}
local function countOf(h)
	local c = counts[h]
	if not c then
		local held, wait = limitKey(h, "held"), limitKey(h, "wait")
		c = {held=0, wait=0}
		if redis.call("EXISTS", held, wait) > 0 then c.held, c.wait = soft("SCARD", held) or 0, soft("ZCARD", wait) or 0 end
		counts[h] = c
	end
	return c
end
local function counted(h, what, by)
	local c = counts[h]
	if c then c[what] = c[what] + by end
end
-- sets has what SetLimit has set, by rule.
local sets = {}
local function setOf(rule)
	if sets[rule] == nil then sets[rule] = tonumber(soft("HGET", ours .. "limits", rule) or "") or false end
	return sets[rule]
end
-- room reports whether a key has one more place.
local function room(l)
	local held = countOf(l.h).held
	if l.o then return held < 1 end
	local most = setOf(l.r) or l.m
	if not l.p then return held < most end
	if most <= 0 then return false end -- until SetLimit
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
		if not at or at <= now then return true end
	end
	firm("ZADD", ours .. "limit:wake", int(at), l.r .. "\0" .. l.h)
	return false
end
-- enter takes the places that a task lacks, in order. If there is none it waits for
-- that, and enter returns the limit's rule. A task that is apart, not due or paused,
-- takes those of orders alone, which come first. A fresh one has no places.
local function enter(q, id, ls, due, apart, fresh)
	for n, l in ipairs(ls) do
		if apart and not l.o then return nil end
		local place, held, wait = placed(q, id, n), limitKey(l.h, "held"), limitKey(l.h, "wait")
		if fresh or soft("SISMEMBER", held, place) ~= 1 then
			local c = countOf(l.h)
			local free = c.wait == 0 and room(l)
			if c.wait + c.held == 0 then
				firm("ZADD", ours .. "limit:keys", 0, l.r .. "\0" .. l.h)
				if l.d then firm("HSET", ours .. "limit:rates", l.r, l.d) end
			end
			if not free then
				if firm("ZADD", wait, l.o and firm("INCR", ours .. "limit:turn") or int(due), place) == 1 then c.wait = c.wait + 1 end
				return l.r
			end
			if firm("SADD", held, place) == 1 then c.held = c.held + 1 end
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
-- readied has queues with tasks that are ready now, and whether none was before.
local readied
-- ready makes a task ready that is in asynq's set.
local function ready(q, id, due)
	firm("ZADD", k(q, "taskctx:ready"), int(due), id)
	if readied and readied[q] ~= nil then return end
	local first = soft("ZCARD", k(q, "taskctx:ready")) == 1
	if readied then
		readied[q] = first
	elseif first then
		tell("new", q)
	end
end
-- put makes a task wait for a place under the rule, or ready.
local function put(q, id, rule, due, again)
	redis.call("HSET", t(q, id), "state", "scheduled", "taskctx_aside", rule or "", "taskctx_due", int(due))
	redis.call("HDEL", t(q, id), "pending_since")
	firm("ZADD", k(q, "scheduled"), ` + foreverText + `, id)
	if again then soft("SADD", k(q, "taskctx:again"), id) end
	soft("ZREM", k(q, rule and "taskctx:ready" or "taskctx:aside"), id)
	if not rule then return ready(q, id, due) end
	firm("ZADD", k(q, "taskctx:aside"), int(due), id)
end
local function announce()
	for q, first in pairs(readied) do
		if first and (soft("ZCARD", k(q, "taskctx:ready")) or 0) > 0 then tell("new", q) end
	end
end
-- come makes a task that is due take its places, and ready or aside.
local function come(q, id, ls, due, again)
	local rule = enter(q, id, ls, due, isPaused(q, soft("HGET", t(q, id), "taskctx_name")))
	put(q, id, rule, due, again)
end
-- new stores a task with limits. Whoever calls it tells the workers.
local function new(q, id, msg, due, name, limits)
	local ls = limitsOf(limits)
	if not ls then return false end
	local at = due == "" and micros() or tonumber(due) * 1e6
	local rule = enter(q, id, ls, at, due ~= "" or isPaused(q, name), true)
	if due ~= "" and not rule then
		redis.call("HSET", t(q, id), "msg", msg, "taskctx_name", name, "taskctx_limits", limits, "state", "scheduled")
		firm("ZADD", k(q, "scheduled"), due, id)
		return true
	end
	redis.call("HSET", t(q, id), "msg", msg, "taskctx_name", name, "taskctx_limits", limits, "state", "scheduled",
		"taskctx_aside", rule or "", "taskctx_due", int(at))
	firm("ZADD", k(q, "scheduled"), ` + foreverText + `, id)
	firm("ZADD", k(q, rule and "taskctx:aside" or "taskctx:ready"), int(at), id)
	return true
end
-- quit gives up a task's places, and those that it waits for: all, or those of limits
-- that keep no order. freed has the limits whose places settle gives to others.
local freed, isFreed = {}, {}
local function quit(q, id, ls, all)
	for n, l in ipairs(ls or {}) do
		if all or not l.o then
			local place = placed(q, id, n)
			if soft("SREM", limitKey(l.h, "held"), place) == 1 then
				counted(l.h, "held", -1)
			elseif soft("ZREM", limitKey(l.h, "wait"), place) == 1 then
				counted(l.h, "wait", -1)
			end
			if not isFreed[l.h] then
				isFreed[l.h] = 0
				freed[#freed+1] = l
			end
			isFreed[l.h] = isFreed[l.h] + 1
		end
	end
end
-- admit lets a task in that has waited for a place under its limit n, and has got it.
local function admit(q, id, ls, due, own, name)
	local later = due > micros()
	local rule = #ls > 1 and enter(q, id, ls, due, later or isPaused(q, name))
	if rule then
		redis.call("HSET", t(q, id), "taskctx_aside", rule)
	elseif later then
		unset(q, id)
		redis.call("HSET", t(q, id), "state", "scheduled")
		firm("ZADD", k(q, "scheduled"), string.format("%.6f", due / 1e6), id)
	else
		redis.call("HSET", t(q, id), "taskctx_aside", "", "taskctx_due", int(due))
		soft("ZREM", k(q, "taskctx:aside"), id)
		ready(q, id, due)
	end
end
-- forget forgets a key without places, and with its last key how long a rate is.
local forgotten = 0
local function forget(h, rule, unrated)
	local keys = ours .. "limit:keys"
	forgotten = forgotten + (soft("ZREM", keys, rule .. "\0" .. h) or 0)
	if unrated then return end
	soft("ZREM", ours .. "limit:wake", rule .. "\0" .. h)
	local other = soft("ZRANGEBYLEX", keys, "[" .. rule .. "\0", "(" .. rule .. "\1", "LIMIT", 0, 1)
	if other and not other[1] then soft("HDEL", ours .. "limit:rates", rule) end
end
-- letIn gives the free places of a key to those that wait for them, of which it reads
-- some at a time. It may be known that the key is of no rate.
local steps = 0
local function letIn(h, rule, some, unrated)
	local held, wait, c = limitKey(h, "held"), limitKey(h, "wait"), countOf(h)
	local lot, at = {}, 1
	while c.wait > 0 do
		if not lot[at] then
			lot, at = soft("ZRANGE", wait, 0, math.min(some or 1, 100) - 1) or {}, 1
			if not lot[1] then break end
		end
		local place = lot[at]
		if steps >= 1000 then
			firm("SADD", ours .. "limit:more", rule .. "\0" .. h)
			return
		end
		steps, at = steps + 1, at + 1
		local q, id, n = placedBy(place)
		local v = q and soft("HMGET", t(q, id), "state", "taskctx_aside", "taskctx_limits", "taskctx_due", "taskctx", "taskctx_name")
		local ls = v and limitsOf(v[3])
		local l = ls and ls[n]
		if not l or l.h ~= h or v[1] ~= "scheduled" or (v[2] or "") == "" then -- it waits no more
			if redis.call("ZREM", wait, place) == 1 then c.wait = c.wait - 1 end
		else
			local due = tonumber(v[4] or "") or micros()
			if not l.o and isPaused(q, v[6]) then -- it keeps nobody from the place meanwhile
				quit(q, id, ls, false)
				unset(q, id)
				put(q, id, nil, due, ran(v[5]))
			elseif room(l) then
				if redis.call("ZREM", wait, place) == 1 then c.wait = c.wait - 1 end
				if firm("SADD", held, place) == 1 then c.held = c.held + 1 end
				admit(q, id, ls, due, v[5], v[6])
			else
				return
			end
		end
	end
	if c.held == 0 and (unrated or redis.call("EXISTS", limitKey(h, "starts")) == 0) then forget(h, rule, unrated) end
end
-- settle lets others in where places were given up.
local function settle()
	local i = 1
	while freed[i] do
		local l, some = freed[i], isFreed[freed[i].h]
		isFreed[l.h] = nil
		letIn(l.h, l.r, some, not l.p)
		i = i + 1
	end
	freed = {}
end
-- begins counts a run that begins now under its task's rates.
local function begins(q, id, ls)
	for n, l in ipairs(ls) do
		if l.p then
			local key, now = limitKey(l.h, "starts"), micros()
			if soft("SREM", limitKey(l.h, "held"), placed(q, id, n)) == 1 then counted(l.h, "held", -1) end
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
