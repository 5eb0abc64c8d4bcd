package redis

// waitingPrelude takes a task out of its place of waiting. It does not look
// for an entry in the middle of a list of more than 10,000: the entry stays,
// and workers notice that it leads to no pending task. Servers of asynq would
// not, so waiting looks for it where there are any.
//
// It knows of them by what leave gets: the time as a score, or with a tag, since asynq's
// list of servers is in another slot, "1" if there are some.
const waitingPrelude = `
local function beside(servers)
	if tag then return servers == "1" end
	return (soft("ZCOUNT", "asynq:servers", servers, "+inf") or 0) > 0
end
local function leave(q, id, state, servers)
	if state == "pending" then
		local list = k(q, "pending")
		soft("SREM", k(q, "taskctx:again"), id)
		if (soft("LLEN", list) or 0) <= 10000 or beside(servers) then
			soft("LREM", list, 1, id)
		else
			soft("SADD", k(q, "taskctx:gone"), id)
		end
		return
	end
	if state == "retry" then
		unpark(q, id, redis.call("HGET", t(q, id), "taskctx_name"))
		soft("SREM", k(q, "taskctx:again"), id)
	elseif state == "archived" then
		soft("SREM", k(q, "taskctx:cancelled"), id)
	elseif state == "scheduled" then
		soft("ZREM", k(q, "taskctx:waits"), id)
		unset(q, id)
	end
	soft("ZREM", k(q, state), id)
end
`

// cancelScript cancels a task. ARGV: the queue, id, reason, the time as text,
// what leave gets, the score if it is archived, its key, and the time in ns. It
// answers with the task's state before. A task is cancelled after the parent
// with the queue ARGV[9] and the id ARGV[10] only as long as the parent's
// children are to be.
var cancelScript = script(journalPrelude + waitingPrelude + `
local q, id = ARGV[1], ARGV[2]
if ARGV[9] and redis.call("HEXISTS", journal(ARGV[9], ARGV[10]), "_bereft") == 0 then return "" end
local state = soft("HGET", t(q, id), "state")
if not state then return "" end
if state == "active" then
	if redis.call("HEXISTS", t(q, id), "taskctx_cancel") == 0 then
		redis.call("HSET", t(q, id), "taskctx_cancel", ARGV[3])
	end
	tell("control", id)
	return state
end
if state ~= "pending" and state ~= "scheduled" and state ~= "retry" then return state end
local own = cancelled(redis.call("HGET", t(q, id), "taskctx") or "", ARGV[3], ARGV[4])
quit(q, id, limitsOf(redis.call("HGET", t(q, id), "taskctx_limits")), true)
redis.call("HDEL", t(q, id), "pending_since")
leave(q, id, state, ARGV[5])
redis.call("HDEL", t(q, id), "taskctx_parked")
archive(q, id, own, ARGV[6])
forget(ARGV[7], id)
ended(q, id, "archived", own, "", ARGV[8])
settle()
return state`)

// retryScript makes an archived task pending. ARGV: the queue, id, details,
// the time in ns, and the key it takes again, or "", the key's value, and its
// time in ms or "". It answers with the task's state before, and the id of
// another task that holds the key, or "".
//
// Its journal is then as redoLua makes it.
var retryScript = script(journalPrelude + holder + redoLua + `
local q, id, key = ARGV[1], ARGV[2], ARGV[5]
local state = soft("HGET", t(q, id), "state")
if state ~= "archived" then return {state or "", ""} end
if key ~= "" then
	local held = holder(key, q)
	if held and held ~= id then return {state, held} end
	hold(key, ARGV[6], ARGV[7])
end
soft("ZREM", k(q, "archived"), id)
soft("SREM", k(q, "taskctx:cancelled"), id)
redis.call("HDEL", t(q, id), "result", "taskctx_parked")
redis.call("HSET", t(q, id), "state", "pending", "taskctx", ARGV[3], "pending_since", ARGV[4])
redo(q, id)
local ls = limitsOf(redis.call("HGET", t(q, id), "taskctx_limits"))
if ls then
	quit(q, id, ls, true)
	come(q, id, ls, micros(), ran(ARGV[3]))
	settle()
	return {state, ""}
end
if ran(ARGV[3]) then soft("SADD", k(q, "taskctx:again"), id) end
firm("LPUSH", k(q, "pending"), id)
tell("new", q)
return {state, ""}`)

// deleteScript forgets a task that does not run. ARGV: the queue and id,
// what leave gets, its key, and the time in ns. It answers with the task's
// state before.
var deleteScript = script(journalPrelude + waitingPrelude + `
local q, id = ARGV[1], ARGV[2]
local state = soft("HGET", t(q, id), "state")
if not state or state == "active" then return state or "" end
quit(q, id, limitsOf(redis.call("HGET", t(q, id), "taskctx_limits")), true)
leave(q, id, state, ARGV[3])
local of = state ~= "completed" and state ~= "archived" and soft("HGET", t(q, id), "taskctx_of")
redis.call("DEL", t(q, id))
burn(q, id)
if of then arrive(of, id, ` + goneLua + `, ARGV[5]) end
forget(ARGV[4], id)
settle()
tell("end", id)
return state`)

// readScript answers with tasks. ARGV: "1" to leave out the large fields, how
// many bytes to read at most, a name or "", "1" to leave out tasks without
// tags, and states between commas or ""; then the queue and id of each. The
// answer is how many of the tasks were looked at; for each task that exists
// and may be selected its index, message, state, details, memo, result,
// worker, start, score, for which limit it waits and its due time if it has limits;
// and how many bytes are left.
var readScript = script(`
local brief, left, name, tagged, states = ARGV[1] == "1", tonumber(ARGV[2]), ARGV[3], ARGV[4] == "1", ARGV[5]
-- lean is a message without its payload, the second field.
local function lean(msg)
	local function varint(at)
		local n, shift = 0, 1
		for i = at, at + 4 do
			local b = string.byte(msg, i)
			if not b then return nil end
			n = n + (b % 128) * shift
			if b < 128 then return n, i + 1 end
			shift = shift * 128
		end
	end
	if string.byte(msg, 1) ~= 10 then return msg end
	local n, at = varint(2)
	if not n or string.byte(msg, at + n) ~= 18 then return msg end
	local size, from = varint(at + n + 1)
	if not size then return msg end
	return string.sub(msg, 1, at + n - 1) .. string.sub(msg, from + size)
end
local function unlike(state, own, limited)
	if states == "" then return false end
	if state == "scheduled" and limited then return not has(states, ran(own) and ",retrying," or ",pending,") end
	if state == "pending" then
		return not has(states, ran(own) and ",retrying," or ",pending,")
	elseif state == "archived" then
		return not has(states, has(own, '"cancelled":true') and ",cancelled," or ",failed,")
	elseif state == "scheduled" then
		if has(own, '"waits":true') then return not has(states, ",waiting,") end
		return not has(states, ",scheduled,") and not has(states, ",pending,")
	end
	return false
end
local rows, looked = {}, 0
for i = 6, #ARGV, 2 do
	if left <= 0 then break end
	local key = t(ARGV[i], ARGV[i+1])
	looked = looked + 1
	local v = soft("HMGET", key, "state", "taskctx", "taskctx_owner", "taskctx_started", "taskctx_name",
		"taskctx_aside", "taskctx_due")
	if v and v[1] and not unlike(v[1], v[2], v[6]) and (name == "" or not v[5] or v[5] == name) then
		local msg = redis.call("HGET", key, "msg") or ""
		left = left - #msg
		if not tagged or has(msg, '"tags"') then
			local memo, result, score = "", "", ""
			if brief then
				msg = lean(msg)
			else
				local w = redis.call("HMGET", key, "taskctx_memo", "result")
				memo, result = w[1] or "", w[2] or ""
				left = left - #memo - #result
			end
			if v[1] == "scheduled" or v[1] == "retry" then score = soft("ZSCORE", k(ARGV[i], v[1]), ARGV[i+1]) or "" end
			rows[#rows+1] = {looked, msg, v[1], v[2] or "", memo, result, v[3] or "", v[4] or "", score,
				v[6] or "", v[6] and v[7] or ""}
		end
	end
end
return {looked, rows, left}`)

// idsScript answers with 0 and, for each collection of a queue that is not empty, its
// place among all and its ids, all at one time: otherwise it might miss a task that
// moves meanwhile. It answers with 1 if there are more than ARGV[1] ids. ARGV[2]: how
// many of the following are collections; the queues follow them.
var idsScript = script(`
local res, left, first = {0}, tonumber(ARGV[1]), 3 + tonumber(ARGV[2])
local sizes, ranges = {}, {}
for j = 3, first - 1 do
	local list = ARGV[j] == "pending" or ARGV[j] == "active"
	sizes[j], ranges[j] = list and "LLEN" or "ZCARD", list and "LRANGE" or "ZRANGE"
end
local at = 0
for i = first, #ARGV do
	for j = 3, first - 1 do
		local key = k(ARGV[i], ARGV[j])
		local n = soft(sizes[j], key) or 0
		if n > 0 then
			left = left - n
			if left < 0 then return {1} end
			res[#res+1] = at
			res[#res+1] = soft(ranges[j], key, 0, -1) or {}
		end
		at = at + 1
	end
end
return res`)

// sizeScript answers with how many tasks are in each collection of the queues
// ARGV, in the order of collections.
var sizeScript = script(`
local res = {}
for i, q in ipairs(ARGV) do
	res[i] = {soft("ZCARD", k(q, "completed")) or 0, soft("ZCARD", k(q, "archived")) or 0,
		soft("LLEN", k(q, "active")) or 0, soft("LLEN", k(q, "pending")) or 0,
		soft("ZCARD", k(q, "retry")) or 0, soft("ZCARD", k(q, "scheduled")) or 0}
end
return res`)

// countScript answers, for each of the queues from ARGV[2], with a text of numbers: how
// many of its tasks are in each state at the score ARGV[1], in the order of
// countedStates, the time in ns since which the first pending task is due, and the
// score of the first scheduled one that is due, "-" where there is none. Sets of our own
// distinguish states that are one for asynq; most queues have none of these. Of a
// list's end the last entries that are no pending task's are passed over.
var countScript = script(`
local res, now = {}, ARGV[1]
local call = redis.pcall
local function size(cmd, key)
	local n = call(cmd, key)
	if type(n) == "number" then return n end
	return soft(cmd, key) or 0
end
for i = 2, #ARGV do
	local q = ARGV[i]
	local at = k(q, "")
	local own = at .. "taskctx:"
	local scheduled, pending, retry = size("ZCARD", at .. "scheduled"), size("LLEN", at .. "pending"), size("ZCARD", at .. "retry")
	local active, archived, completed = size("LLEN", at .. "active"), size("ZCARD", at .. "archived"), size("ZCARD", at .. "completed")
	local sets = false
	if scheduled + pending + retry + archived > 0 then
		sets = call("EXISTS", own .. "waits", own .. "gone", own .. "ready", own .. "aside", own .. "parked", own .. "again",
			own .. "cancelled") ~= 0
	end
	local first, since = "-", "-"
	local due, waits, limited = 0, 0, 0
	if scheduled > 0 then
		local early = soft("ZRANGEBYSCORE", at .. "scheduled", "-inf", now, "WITHSCORES", "LIMIT", 0, 1)
		if early and early[2] then
			first, due = early[2], soft("ZCOUNT", at .. "scheduled", "-inf", now) or 0
		end
		waits = math.min((sets and size("ZCARD", own .. "waits") or 0), scheduled)
		if waits > 0 then
			local over = soft("ZCOUNT", own .. "waits", "-inf", now) or 0
			scheduled, due = math.max(scheduled - waits, 0), math.max(due - over, 0)
		end
		local ready, aside = (sets and size("ZCARD", own .. "ready") or 0), (sets and size("ZCARD", own .. "aside") or 0)
		limited = math.min(ready + aside, scheduled)
		for set, n in pairs({ready=ready, aside=aside}) do
			local early = n > 0 and soft("ZRANGE", own .. set, 0, 0, "WITHSCORES")
			local at = early and early[2] and tonumber(early[2]) / 1e6
			if at and (first == "-" or at < tonumber(first)) then first = string.format("%.6f", at) end
		end
	end
	if pending > 0 then
		for j = 1, 20 do
			local id = soft("LINDEX", at .. "pending", -j)
			if not id then break end
			local v = soft("HMGET", at .. "t:" .. id, "state", "pending_since")
			if v and v[1] == "pending" then
				since = v[2] or "-"
				break
			end
		end
		pending = math.max(pending - (sets and size("SCARD", own .. "gone") or 0), 0)
	end
	scheduled, pending = scheduled - limited, pending + limited
	local parked = retry > 0 and math.min((sets and size("ZCARD", own .. "parked") or 0), retry) or 0
	local again = pending + parked > 0 and math.min((sets and size("SCARD", own .. "again") or 0), pending + parked) or 0
	local cancelled = archived > 0 and math.min((sets and size("SCARD", own .. "cancelled") or 0), archived) or 0
	res[i-1] = table.concat({math.max(scheduled - due, 0), pending + due + parked - again, active, retry - parked + again, waits,
		completed, archived - cancelled, cancelled, since, first}, " ")
end
return res`)

// owners answers with the worker of each task that runs in the queues ARGV.
var ownersScript = script(`
local res = {}
for _, q in ipairs(ARGV) do
	for _, id in ipairs(soft("LRANGE", k(q, "active"), 0, -1) or {}) do
		local v = soft("HMGET", t(q, id), "taskctx_owner", "state")
		if v and v[1] and v[2] == "active" then res[#res+1] = v[1] end
	end
end
return res`)
