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
	return pauses[q] or name and soft("HEXISTS", ours .. "paused", name) == 1
end
-- room reports whether a key has one more place, and how many are held.
local function room(l)
	local held = soft("SCARD", limitKey(l.h, "held")) or 0
	if l.o then return held < 1, held end
	local most = tonumber(soft("HGET", ours .. "limits", l.r) or "") or l.m
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
	firm("ZADD", ours .. "limit:wake", int(at), l.r .. "\0" .. l.h)
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
				firm("ZADD", ours .. "limit:keys", 0, l.r .. "\0" .. l.h)
				if l.d then firm("HSET", ours .. "limit:rates", l.r, l.d) end
			end
			if not free then
				firm("ZADD", wait, l.o and firm("INCR", ours .. "limit:turn") or int(due), place)
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
-- readied has queues with tasks that are ready now, and whether none was before.
local readied
-- put makes a task wait for a place under the rule, or ready.
local function put(q, id, rule, due, again)
	redis.call("HSET", t(q, id), "state", "scheduled", "taskctx_aside", rule or "", "taskctx_due", int(due))
	redis.call("HDEL", t(q, id), "pending_since")
	firm("ZADD", k(q, "scheduled"), ` + foreverText + `, id)
	if again then soft("SADD", k(q, "taskctx:again"), id) end
	soft("ZREM", k(q, rule and "taskctx:ready" or "taskctx:aside"), id)
	firm("ZADD", k(q, rule and "taskctx:aside" or "taskctx:ready"), int(due), id)
	if rule then return end
	local first = soft("ZCARD", k(q, "taskctx:ready")) == 1
	if not readied then
		if first then tell("new", q) end
	elseif readied[q] == nil then
		readied[q] = first
	end
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
			firm("SADD", ours .. "limit:more", rule .. "\0" .. h)
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
		soft("ZREM", ours .. "limit:keys", rule .. "\0" .. h)
		soft("ZREM", ours .. "limit:wake", rule .. "\0" .. h)
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
