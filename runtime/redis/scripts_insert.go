package redis

import "github.com/redis/go-redis/v9"

// holder judges a key when another task wants it: it answers with the id of
// the task that holds it, or nil. The value of a key is the id, the way in
// which it is held (the number of an engine.KeyHold), and the queue. Older
// versions wrote the id alone, which is looked up in the queue of the task
// that wants the key. A key that is held for a time has that time to live.
const holder = `
local function holder(key, mine)
	local v = soft("GET", ours .. "key:" .. key)
	if not v then return nil end
	local id, hold, q = string.sub(v, 1, 36), string.sub(v, 37, 37), string.sub(v, 38)
	if hold == "3" then return id end
	if hold == "" then
		if redis.call("EXISTS", t(mine, id)) == 0 then return id end
		hold, q = "0", mine
	end
	local s = soft("HMGET", t(q, id), "state", "taskctx", "taskctx_started")
	if not s or not s[1] or s[1] == "archived" then return nil end
	if hold ~= "0" and s[1] == "completed" then return nil end
	if hold == "2" and (has(s[2], '"started":') or s[1] == "active" and (s[3] or "") ~= "") then return nil end
	return id
end
local function hold(key, value, ms)
	if ms == "" then
		redis.call("SET", ours .. "key:" .. key, value)
	else
		redis.call("SET", ours .. "key:" .. key, value, "PX", ms)
	end
end
`

// insertScript stores messages, all or none. ARGV: the time in ns, then for
// each message its queue, id, encoding, due score or "", key or "", the key's
// value, its time in ms or "", the message's name, and its limits. It answers for each
// message with the id of the task that holds its key, or "".
var insertScript = script(limitPrelude + holder + `
local res, told, ids = {}, {}, {}
for i = 2, #ARGV, 9 do
	local key = t(ARGV[i], ARGV[i+1])
	if ids[key] or redis.call("EXISTS", key) == 1 then
		return redis.error_reply("CONFLICT a task with the id " .. ARGV[i+1] .. " exists")
	end
	ids[key] = true
end
for i = 2, #ARGV, 9 do
	local q, id, msg, due, key = ARGV[i], ARGV[i+1], ARGV[i+2], ARGV[i+3], ARGV[i+4]
	local held = key ~= "" and holder(key, q)
	if held then
		res[#res+1] = held
	else
		res[#res+1] = ""
		if not told[q] then list(q) end
		if key ~= "" then hold(key, ARGV[i+5], ARGV[i+6]) end
		if ARGV[i+8] ~= "" and new(q, id, msg, due, ARGV[i+7], ARGV[i+8]) then -- it is ready, aside or scheduled
		elseif due ~= "" then
			redis.call("HSET", t(q, id), "msg", msg, "state", "scheduled", "taskctx_name", ARGV[i+7])
			firm("ZADD", k(q, "scheduled"), due, id)
		else
			redis.call("HSET", t(q, id), "msg", msg, "state", "pending", "pending_since", ARGV[1],
				"taskctx_name", ARGV[i+7])
			firm("LPUSH", k(q, "pending"), id)
		end
		if not told[q] then
			told[q] = true
			tell("new", q)
		end
	end
end
return res`)

// insertOneScript is insert of one message that has no key and is due: the
// usual request of a web process. It stands alone, without the prelude, and
// its keys come ready. KEYS: the task and the list of pending tasks. ARGV: the
// id, the encoding, the time in ns, the name and the queue. It adds no queue
// to asynq's list if tasks wait there already.
var insertOneScript = redis.NewScript(insertOne + `
if n == 1 then redis.pcall("SADD", "asynq:queues", ARGV[5]) end
redis.pcall("PUBLISH", "taskctx:new", ARGV[5])
return 1`)

// insertOneTaggedScript is insertOneScript for a queue that asynq's list has. ARGV[6]: the
// channel of new tasks.
var insertOneTaggedScript = redis.NewScript(insertOne + `
redis.pcall("PUBLISH", ARGV[6], ARGV[5])
return 1`)

const insertOne = `
local call = redis.call
if call("EXISTS", KEYS[1]) == 1 then
	return redis.error_reply("CONFLICT a task with the id " .. ARGV[1] .. " exists")
end
local n = call("LPUSH", KEYS[2], ARGV[1])
call("HSET", KEYS[1], "msg", ARGV[2], "state", "pending", "pending_since", ARGV[3], "taskctx_name", ARGV[4])`
