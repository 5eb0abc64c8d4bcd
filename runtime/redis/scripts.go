package redis

import "github.com/redis/go-redis/v9"

// Each script is one step of a task's life, which Redis takes as a whole. They
// build the keys of asynq's layout from the names of queues, so that one may
// touch several queues.

// prelude has the names of a queue's keys.
const prelude = `
local function k(q, name) return "asynq:{" .. q .. "}:" .. name end
local function t(q, id) return "asynq:{" .. q .. "}:t:" .. id end
local function count(q, name, day, expire)
	local key = k(q, name .. ":" .. day)
	if redis.call("INCR", key) == 1 then redis.call("EXPIREAT", key, expire) end
	redis.call("INCR", k(q, name))
end
-- cancelled are the details of a task that ended by a cancellation.
local function cancelled(own, reason, at)
	own = cjson.decode(own == "" and "{}" or own)
	own.reason, own.cancelled, own.ended, own.snoozed, own.again = reason, true, at, nil, nil
	return cjson.encode(own)
end
local function archive(q, id, own, score)
	redis.call("HSET", t(q, id), "state", "archived", "taskctx", own)
	redis.call("ZADD", k(q, "archived"), score, id)
	redis.call("PUBLISH", "taskctx:end", id)
end
`

func script(body string) *redis.Script { return redis.NewScript(prelude + body) }

// insert stores messages, all or none. ARGV: the time in ns, then of each
// message its queue, id, encoding, due score or "", key or "", the key's time
// in ms, and its name. It answers with an id for each whose key was held, else "".
var insertScript = script(`
local res, told, ids = {}, {}, {}
for i = 2, #ARGV, 7 do
	local key = t(ARGV[i], ARGV[i+1])
	if ids[key] or redis.call("EXISTS", key) == 1 then
		return redis.error_reply("CONFLICT a task with the id " .. ARGV[i+1] .. " exists")
	end
	ids[key] = true
end
for i = 2, #ARGV, 7 do
	local q, id, msg, due, key, ms = ARGV[i], ARGV[i+1], ARGV[i+2], ARGV[i+3], ARGV[i+4], ARGV[i+5]
	local held = false
	if key ~= "" and not redis.call("SET", "taskctx:key:" .. key, id, "NX", "PX", ms) then
		held = redis.call("GET", "taskctx:key:" .. key)
	end
	if held then
		res[#res+1] = held
	else
		res[#res+1] = ""
		redis.call("SADD", "asynq:queues", q)
		if due ~= "" then
			redis.call("HSET", t(q, id), "msg", msg, "state", "scheduled", "taskctx_name", ARGV[i+6])
			redis.call("ZADD", k(q, "scheduled"), due, id)
		else
			redis.call("HSET", t(q, id), "msg", msg, "state", "pending", "pending_since", ARGV[1],
				"taskctx_name", ARGV[i+6])
			redis.call("LPUSH", k(q, "pending"), id)
		end
		if not told[q] then
			told[q] = true
			redis.call("PUBLISH", "taskctx:new", q)
		end
	end
end
return res`)

// insertOne is insert of one message that has no key and is due: what a web
// process does most. It stands alone, without the prelude, and its keys come
// ready. KEYS: the task and the list of those that are pending. ARGV: the id, the
// encoding, the time in ns, the name and the queue. A queue that has tasks waiting
// is known to asynq's tools already.
var insertOneScript = redis.NewScript(`
local call = redis.call
if call("EXISTS", KEYS[1]) == 1 then
	return redis.error_reply("CONFLICT a task with the id " .. ARGV[1] .. " exists")
end
call("HSET", KEYS[1], "msg", ARGV[2], "state", "pending", "pending_since", ARGV[3], "taskctx_name", ARGV[4])
if call("LPUSH", KEYS[2], ARGV[1]) == 1 then call("SADD", "asynq:queues", ARGV[5]) end
call("PUBLISH", "taskctx:new", ARGV[5])
return 1`)

// claim takes up to ARGV[1] tasks for the owner ARGV[2] until the lease score
// ARGV[3], at the time ARGV[4], with the fence ARGV[5], of the queues, in that
// order. ARGV[6] is how many of the following are the names that the worker
// knows, before the queues: a task of another name is left for others for 5 s;
// then it is only looked at, and does not count as running. It answers with the
// queue, id, message, details and memo of each.
var claimScript = script(`
local want, owner, lease, fence, res = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[5], {}
local known, first = {}, 7 + tonumber(ARGV[6])
for i = 7, first - 1 do known[ARGV[i]] = true end
for i = first, #ARGV do
	local q = ARGV[i]
	if redis.call("EXISTS", k(q, "paused")) == 0 then
		local skipped = 0
		while want > 0 and skipped < 200 do
			local id = redis.call("LINDEX", k(q, "pending"), -1 - skipped)
			if not id then break end
			local v = redis.call("HMGET", t(q, id), "msg", "taskctx", "taskctx_memo", "pending_since",
				"taskctx_name")
			local waited = tonumber(ARGV[4]) - (tonumber(v[4]) or 0) / 1000
			if v[1] and v[5] and not known[v[5]] and waited < 5e6 then
				skipped = skipped + 1 -- a worker that knows it has some time to take it
			else
				if skipped == 0 then
					redis.call("RPOP", k(q, "pending"))
				else
					redis.call("LREM", k(q, "pending"), -1, id)
				end
				if v[1] then -- else it was deleted by hand
					redis.call("LPUSH", k(q, "active"), id)
					local started = ""
					if not v[5] or known[v[5]] then started = ARGV[4] end
					redis.call("HSET", t(q, id), "state", "active", "taskctx_owner", owner,
						"taskctx_fence", fence, "taskctx_started", started)
					redis.call("HDEL", t(q, id), "pending_since", "taskctx_cancel")
					redis.call("ZADD", k(q, "lease"), lease, id)
					res[#res+1] = {q, id, v[1], v[2] or "", v[3] or ""}
					want = want - 1
				end
			end
		end
	end
end
return res`)

// conclude writes outcomes. ARGV: the owner, the time in ns, as a score and as
// text, asynq's day and when its counters expire, then of each outcome the
// queue, id, fence, what becomes of it, its score, message, details, and the
// memo and the result, or "" to leave them. A task that was cancelled while it
// ran does not run again. It answers with 1 for each that was the owner's to
// write, or that it has written: the client sends a script again when its answer
// was lost.
var concludeScript = script(`
local owner, now, day, expire, res = ARGV[1], ARGV[2], ARGV[5], ARGV[6], {}
for i = 7, #ARGV, 9 do
	local q, id, fence, to, score = ARGV[i], ARGV[i+1], ARGV[i+2], ARGV[i+3], ARGV[i+4]
	local key = t(q, id)
	local v = redis.call("HMGET", key, "state", "taskctx_owner", "taskctx_fence", "taskctx_cancel",
		"taskctx_wrote")
	if v[5] == fence then
		res[#res+1] = 1
	elseif v[1] ~= "active" or v[2] ~= owner or v[3] ~= fence then
		res[#res+1] = 0
	else
		res[#res+1] = 1
		local own = ARGV[i+6]
		if v[4] and (to == "pending" or to == "retry") then
			to, score, own = "archived", ARGV[3], cancelled(own, v[4], ARGV[4])
		elseif v[4] and to == "archived" and string.find(own, '"cancelled":true', 1, true)
			and not string.find(own, '"reason":', 1, true) then
			own = cancelled(own, v[4], ARGV[4])
		end
		redis.call("LREM", k(q, "active"), 1, id)
		redis.call("ZREM", k(q, "lease"), id)
		redis.call("HDEL", key, "taskctx_owner", "taskctx_cancel", "taskctx_fence", "taskctx_started")
		redis.call("HSET", key, "state", to, "msg", ARGV[i+5], "taskctx", own, "taskctx_wrote", fence)
		if ARGV[i+7] ~= "" then redis.call("HSET", key, "taskctx_memo", ARGV[i+7]) end
		if ARGV[i+8] ~= "" then redis.call("HSET", key, "result", ARGV[i+8]) end
		if to == "pending" then
			redis.call("HSET", key, "pending_since", now)
			if score == "first" then
				redis.call("RPUSH", k(q, "pending"), id)
			else
				redis.call("LPUSH", k(q, "pending"), id)
			end
			redis.call("PUBLISH", "taskctx:new", q)
		else
			redis.call("ZADD", k(q, to), score, id)
			if to == "completed" then
				count(q, "processed", day, expire)
				redis.call("PUBLISH", "taskctx:end", id)
			elseif to == "archived" then
				count(q, "processed", day, expire)
				count(q, "failed", day, expire)
				redis.call("PUBLISH", "taskctx:end", id)
			end
		end
	end
end
return res`)

// saveMemo writes the memo of a task that runs. ARGV: the owner, queue, id,
// fence and memo.
var saveMemoScript = script(`
local v = redis.call("HMGET", t(ARGV[2], ARGV[3]), "state", "taskctx_owner", "taskctx_fence")
if v[1] ~= "active" or v[2] ~= ARGV[1] or v[3] ~= ARGV[4] then return 0 end
redis.call("HSET", t(ARGV[2], ARGV[3]), "taskctx_memo", ARGV[5])
return 1`)

// running answers with the queue, id, owner, fence, cancel reason and whether
// it was cancelled of all that run in the queues ARGV and belong to workers of
// ours.
var runningScript = script(`
local res = {}
for _, q in ipairs(ARGV) do
	for _, id in ipairs(redis.call("LRANGE", k(q, "active"), 0, -1)) do
		local v = redis.call("HMGET", t(q, id), "taskctx_owner", "taskctx_fence", "taskctx_cancel", "state")
		if v[1] and v[4] == "active" then
			res[#res+1] = {q, id, v[1], v[2], v[3] or "", v[3] and 1 or 0}
		end
	end
end
return res`)

// takeOver gives a task of a worker that is gone to others. ARGV: the worker,
// its beats as they were seen, the queue, id, fence, message and details, and
// the time in ns, as a score and as text.
var takeOverScript = script(`
local owner, beats, q, id, fence = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if (redis.call("GET", "taskctx:beat:" .. owner) or "") ~= beats then return 0 end
local v = redis.call("HMGET", t(q, id), "state", "taskctx_owner", "taskctx_fence", "taskctx_cancel")
if v[1] ~= "active" or v[2] ~= owner or v[3] ~= fence then return 0 end
redis.call("LREM", k(q, "active"), 1, id)
redis.call("ZREM", k(q, "lease"), id)
redis.call("HDEL", t(q, id), "taskctx_owner", "taskctx_cancel", "taskctx_fence", "taskctx_started")
if v[4] then -- it was cancelled, and nobody is left to end it
	redis.call("HSET", t(q, id), "msg", ARGV[6])
	archive(q, id, cancelled(ARGV[7], v[4], ARGV[10]), ARGV[9])
	return 1
end
redis.call("HSET", t(q, id), "state", "pending", "msg", ARGV[6], "taskctx", ARGV[7], "pending_since", ARGV[8])
redis.call("RPUSH", k(q, "pending"), id)
redis.call("PUBLISH", "taskctx:new", q)
return 1`)

// forward makes due tasks pending. ARGV: the time as a score and in ns, then
// the queues. It answers with how many, and the score of the next, or "".
var forwardScript = script(`
local n, next = 0, ""
for i = 3, #ARGV do
	local q = ARGV[i]
	local moved = 0
	for _, set in ipairs({"scheduled", "retry"}) do
		local ids = redis.call("ZRANGEBYSCORE", k(q, set), "-inf", ARGV[1], "LIMIT", 0, 200)
		for _, id in ipairs(ids) do
			redis.call("ZREM", k(q, set), id)
			if redis.call("EXISTS", t(q, id)) == 1 then
				redis.call("LPUSH", k(q, "pending"), id)
				redis.call("HSET", t(q, id), "state", "pending", "pending_since", ARGV[2])
				moved = moved + 1
			end
		end
		local first = redis.call("ZRANGE", k(q, set), 0, 0, "WITHSCORES")
		if first[2] and (next == "" or tonumber(first[2]) < tonumber(next)) then next = first[2] end
	end
	if moved > 0 then redis.call("PUBLISH", "taskctx:new", q) end
	n = n + moved
end
return {n, next}`)

// cancel cancels a task. ARGV: the queue, id, reason, and the time as text and
// as a score. It answers with the state it was in.
var cancelScript = script(`
local q, id = ARGV[1], ARGV[2]
local state = redis.call("HGET", t(q, id), "state")
if not state then return "" end
if state == "active" then
	if redis.call("HEXISTS", t(q, id), "taskctx_cancel") == 0 then
		redis.call("HSET", t(q, id), "taskctx_cancel", ARGV[3])
	end
	redis.call("PUBLISH", "taskctx:control", id)
	return state
end
if state == "pending" then
	redis.call("LREM", k(q, "pending"), 1, id)
elseif state == "scheduled" or state == "retry" then
	redis.call("ZREM", k(q, state), id)
else
	return state
end
redis.call("HDEL", t(q, id), "pending_since")
archive(q, id, cancelled(redis.call("HGET", t(q, id), "taskctx") or "", ARGV[3], ARGV[4]), ARGV[5])
return state`)

// retry makes an archived task pending. ARGV: the queue, id, details and the
// time in ns. It answers with the state it was in.
var retryScript = script(`
local q, id = ARGV[1], ARGV[2]
local state = redis.call("HGET", t(q, id), "state")
if state ~= "archived" then return state or "" end
redis.call("ZREM", k(q, "archived"), id)
redis.call("HDEL", t(q, id), "result")
redis.call("HSET", t(q, id), "state", "pending", "taskctx", ARGV[3], "pending_since", ARGV[4])
redis.call("LPUSH", k(q, "pending"), id)
redis.call("PUBLISH", "taskctx:new", q)
return state`)

// delete forgets a task that does not run. ARGV: the queue and id. It answers
// with the state it was in.
var deleteScript = script(`
local q, id = ARGV[1], ARGV[2]
local state = redis.call("HGET", t(q, id), "state")
if not state or state == "active" then return state or "" end
if state == "pending" then
	redis.call("LREM", k(q, "pending"), 1, id)
else
	redis.call("ZREM", k(q, state), id)
end
redis.call("DEL", t(q, id))
redis.call("PUBLISH", "taskctx:end", id)
return state`)

// clean forgets ended tasks. ARGV: the time as a score, the score before which
// archived tasks are forgotten, then the queues. The score of a completed task
// is when it is forgotten, as asynq has it; that of an archived one is when it
// ended, and no more than 10,000 of them are kept, as asynq does.
var cleanScript = script(`
local n = 0
for i = 3, #ARGV do
	local q = ARGV[i]
	for _, id in ipairs(redis.call("ZRANGEBYSCORE", k(q, "completed"), "-inf", ARGV[1], "LIMIT", 0, 500)) do
		redis.call("ZREM", k(q, "completed"), id)
		redis.call("DEL", t(q, id))
		n = n + 1
	end
	local old = redis.call("ZRANGEBYSCORE", k(q, "archived"), "-inf", ARGV[2], "LIMIT", 0, 500)
	local over = redis.call("ZCARD", k(q, "archived")) - 10000
	if over > #old then old = redis.call("ZRANGE", k(q, "archived"), 0, math.min(over, 500) - 1) end
	for _, id in ipairs(old) do
		redis.call("ZREM", k(q, "archived"), id)
		redis.call("DEL", t(q, id))
		n = n + 1
	end
end
return n`)

// read answers with the message, state, details, memo, result, worker, start
// and score of each task that ARGV names by queue and id; of one that is not
// there with an empty state.
var readScript = script(`
local res = {}
for i = 1, #ARGV, 2 do
	local q, id = ARGV[i], ARGV[i+1]
	local v = redis.call("HMGET", t(q, id), "msg", "state", "taskctx", "taskctx_memo", "result",
		"taskctx_owner", "taskctx_started")
	for j = 1, 7 do v[j] = v[j] or "" end
	v[8] = ""
	if v[2] == "scheduled" or v[2] == "retry" then v[8] = redis.call("ZSCORE", k(q, v[2]), id) or "" end
	res[#res+1] = v
end
return res`)

// count answers with how many tasks of the queues after the score ARGV[1] are
// in each state, in the order of runtime.States. It looks at the details of up
// to 10,000 tasks that wait, the first in line, and as many that wait to run
// again, to tell states that asynq does not: with more the server would stand
// still for too long.
var countScript = script(`
local res, now = {}, ARGV[1]
local function like(q, ids, what)
	local n = 0
	for _, id in ipairs(ids) do
		local own = redis.call("HGET", t(q, id), "taskctx")
		if own and string.find(own, what, 1, true) then n = n + 1 end
	end
	return n
end
for i = 2, #ARGV do
	local q = ARGV[i]
	local again = like(q, redis.call("LRANGE", k(q, "pending"), -10000, -1), '"again":true')
	local ended = like(q, redis.call("ZRANGE", k(q, "archived"), -10000, -1), '"cancelled":true')
	local looked = 0
	for _, id in ipairs(redis.call("LRANGE", k(q, "active"), 0, -1)) do
		local v = redis.call("HMGET", t(q, id), "taskctx_owner", "taskctx_started")
		if v[1] and (v[2] or "") == "" then looked = looked + 1 end
	end
	local parked = like(q, redis.call("ZRANGE", k(q, "retry"), 0, 9999), '"parked":')
	local due = parked + redis.call("ZCOUNT", k(q, "scheduled"), "-inf", now)
	res[#res+1] = {redis.call("ZCARD", k(q, "scheduled")) - due + parked,
		redis.call("LLEN", k(q, "pending")) - again + due + looked,
		redis.call("LLEN", k(q, "active")) - looked, redis.call("ZCARD", k(q, "retry")) + again - parked,
		redis.call("ZCARD", k(q, "completed")), redis.call("ZCARD", k(q, "archived")) - ended, ended}
end
return res`)
