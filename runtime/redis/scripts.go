package redis

import "github.com/redis/go-redis/v9"

// Each script is one step of a task's life, which Redis runs as a whole.
// Scripts build the keys of asynq's layout from the names of queues, so that
// one may touch several queues. A script goes on, whatever a key holds: it
// skips unusable values, and never ends between two writes that belong
// together.

// prelude has the names of keys, as layout has them, and commands that tolerate keys
// of the wrong type:
//
//   - soft answers false where a command fails because of the key's type.
//   - firm clears such a key, which nobody can use, and runs the command again.
//   - tell publishes, where the user may.
//
// Any other error, of a server that is full or read-only, ends the script:
// Redis raises those at a script's first write.
const prelude = `
local tag = KEYS[1] and string.match(KEYS[1], "{(.-)}")
local ours = tag and "taskctx:{" .. tag .. "}:" or "taskctx:"
local function k(q, name)
	if tag and q ~= tag then q = tag .. "}" .. q end
	return "asynq:{" .. q .. "}:" .. name
end
local function t(q, id)
	if tag and q ~= tag then q = tag .. "}" .. q end
	return "asynq:{" .. q .. "}:t:" .. id
end
local function spoilt(r)
	if type(r) ~= "table" or not r.err then return false end
	local e = r.err
	return string.find(e, "WRONGTYPE", 1, true) or string.find(e, "not an integer", 1, true)
		or string.find(e, "not a valid", 1, true) or string.find(e, "overflow", 1, true)
end
local function soft(...)
	local r = redis.pcall(...)
	if type(r) ~= "table" or not r.err then return r end
	if spoilt(r) then return false end
	return redis.call(...)
end
local function firm(cmd, key, ...)
	local r = redis.pcall(cmd, key, ...)
	if type(r) ~= "table" or not r.err then return r end
	if spoilt(r) then redis.call("DEL", key) end
	return redis.call(cmd, key, ...)
end
local function tell(channel, text) redis.pcall("PUBLISH", ours .. channel, text) end
-- list adds a queue to asynq's list; with a tag that is done before.
local function list(q)
	if not tag then firm("SADD", "asynq:queues", q) end
end
local function has(own, what) return own and string.find(own, what, 1, true) end
local function ran(own) return has(own, '"again":true') end
-- elsewhere reports that a task in the state is where tasks of that state are: an
-- entry in another place is a leftover.
local places = {active="lease", scheduled="scheduled", retry="retry", archived="archived", completed="completed"}
local function elsewhere(q, id, state)
	local place = places[state or ""]
	return place and soft("ZSCORE", k(q, place), id)
end
-- unpark takes a task out of those that no worker knows.
local function unpark(q, id, name)
	if name then soft("ZREM", k(q, "taskctx:parked"), name .. "\0" .. id) end
end
-- forget frees a key, if the task holds it.
local function forget(key, id)
	if key == "" then return end
	local held = soft("GET", ours .. "key:" .. key)
	if held and string.sub(held, 1, #id) == id then redis.call("DEL", ours .. "key:" .. key) end
end
-- cancelled are the details of a task that ended by a cancellation.
local function cancelled(own, reason, at)
	local ok, d = pcall(cjson.decode, own == "" and "{}" or own)
	if not ok or type(d) ~= "table" then d = {} end
	d.reason, d.cancelled, d.ended, d.snoozed, d.again, d.waits = reason, true, at, nil, nil, nil
	return cjson.encode(d)
end
local function archive(q, id, own, score)
	redis.call("HSET", t(q, id), "state", "archived", "taskctx", own)
	firm("ZADD", k(q, "archived"), score, id)
	soft("SADD", k(q, "taskctx:cancelled"), id)
	tell("end", id)
end
`

func script(body string) *redis.Script { return redis.NewScript(prelude + body) }
