package redis

import "github.com/taskctx/taskctx/runtime/engine"

// A task's journal is a hash beside its own, "...:t:<id>:journal". The fields:
//
//   - "e" and a name: the entry of that name, unless it is a signal; see entry.
//   - "g" and a number: a signal.
//   - "l" and a name: the place of the last signal of that name.
//   - "k", the length of a name, ":", the name and a key: there is such a signal.
//   - the head: _seq is the number of the last entry, _came, _failed, _others and
//     _bytes are counts, _open is how many children have not ended. _wait is
//     what the task waits for. _bereft is the state with which it ended, while
//     its children are to be cancelled, _at how far that has got, and _mark how
//     often it came to that; _bereaved is there once they were, or if there were
//     none.
//
// Sets beside asynq's keys of a queue: taskctx:journals has the ids of tasks
// with a journal, taskctx:bereft of those whose children are to be cancelled,
// and taskctx:waits, by score, those of suspended tasks, which are in asynq's
// scheduled set with the same score: the end of their wait.
//
// A child has in its hash, as taskctx_of, where its end goes: the id of its
// parent, the length of the parent's queue, ":", the queue, and the entry.

// journalPrelude has what scripts about journals need, and limitPrelude, since the
// end of a child wakes its parent. It follows prelude.
const journalPrelude = limitPrelude + `
local function journal(q, id) return t(q, id) .. ":journal" end
local function num(v) return tonumber(v or "0") or 0 end
-- entry is an entry as it is stored. In place of a child's queue a signal has its name.
local function entry(seq, attempt, kind, orphan, came, state, child, queue, value, result, reason)
	return string.format("%d %d %s %s %d %s %s %d %d %d\n", seq, attempt, kind, orphan, came, state, child, #queue, #value, #result)
		.. queue .. value .. result .. reason
end
local function parse(e)
	local seq, attempt, kind, orphan, came, state, child, a, b, c, at =
		string.match(e, "^(%d+) (%d+) (%a) (%d) (%d+) (%S+) (%S+) (%d+) (%d+) (%d+)\n()")
	if not seq then return nil end
	a, b, c = at + tonumber(a), tonumber(b), tonumber(c)
	return {seq=tonumber(seq), attempt=tonumber(attempt), kind=kind, orphan=orphan, came=tonumber(came), state=state, child=child,
		queue=string.sub(e, at, a - 1), value=string.sub(e, a, a + b - 1),
		result=string.sub(e, a + b, a + b + c - 1), reason=string.sub(e, a + b + c)}
end
-- closed is the entry of a child that has not ended, with its end: nil if it is no such entry.
local function closed(e, id, came, state, result, reason)
	local head, child, sizes, body = string.match(e, "^(%d+ %d+ c %d) 0 %- (%S+) (%d+ %d+) 0\n(.*)$")
	if child ~= id then return nil end
	return table.concat({head, " ", string.format("%d", came), " ", state, " ", id, " ", sizes, " ", #result, "\n",
		body, result, reason})
end
-- heads are the heads of journals by their keys, as this script knows them. What
-- else changes one forgets it.
local heads = {}
local function head(j)
	local h = heads[j]
	if h then return h end
	local v = soft("HMGET", j, "_came", "_failed", "_open", "_bytes", "_wait")
	if not v then return nil end
	h = {came=num(v[1]), failed=num(v[2]), open=num(v[3]), bytes=num(v[4]), wait=v[5]}
	heads[j] = h
	return h
end
-- wake makes a suspended task pending, first in line.
local function wake(q, id, ns)
	if soft("ZREM", k(q, "taskctx:waits"), id) ~= 1 then return end
	local j = journal(q, id)
	heads[j] = nil
	soft("HDEL", j, "_wait")
	local v = soft("HMGET", t(q, id), "state", "taskctx_limits", "taskctx")
	if not v or v[1] ~= "scheduled" or soft("ZREM", k(q, "scheduled"), id) ~= 1 then return end
	local ls = limitsOf(v[2])
	if ls then return come(q, id, ls, micros(), ran(v[3])) end
	redis.call("HSET", t(q, id), "state", "pending", "pending_since", ns)
	firm("RPUSH", k(q, "pending"), id)
	tell("new", q)
end
-- met reports whether a wait is over: just is the name of what has just come, or
-- nil if anything may have.
local function met(j, wait, came, failed, just)
	local seen, known, need, fast, name = string.match(wait, "^(%d+) (%d+) (%d+) (%d) (.*)$")
	if not seen or need == "0" then return false end
	if name == "" then return came >= tonumber(seen) + tonumber(need) or fast == "1" and failed > tonumber(known) end
	if just then return just == name end
	local v = redis.call("HMGET", j, "l" .. name, "e" .. name)
	local e = v[2] and parse(v[2])
	return math.max(num(v[1]), e and e.came or 0) > tonumber(seen)
end
-- arrive writes the end of a child into its parent's journal, once, and wakes the
-- parent if it waits for that.
local function arrive(of, child, state, result, reason, ns)
	local n, at = string.match(string.sub(of, 37), "^(%d+):()")
	if not n then return end
	at = at + 36
	local pid, q, name = string.sub(of, 1, 36), string.sub(of, at, at + tonumber(n) - 1), string.sub(of, at + tonumber(n))
	local j = journal(q, pid)
	local e = soft("HGET", j, "e" .. name)
	local h = e and head(j)
	e = h and closed(e, child, h.came + 1, state, result, reason)
	if not e then return end
	h.came, h.open, h.bytes = h.came + 1, math.max(h.open - 1, 0), h.bytes + #result + #reason
	local set = {"HSET", j, "e" .. name, e, "_came", h.came, "_open", h.open, "_bytes", h.bytes}
	if state ~= "succeeded" then
		h.failed = h.failed + 1
		set[#set+1], set[#set+2] = "_failed", h.failed
	end
	redis.call(unpack(set))
	if h.wait and met(j, h.wait, h.came, h.failed, name) then wake(q, pid, ns) end
end
-- bereft notes that the children of a task that has ended badly are to be cancelled.
local function bereft(q, id, state)
	local j = journal(q, id)
	local open = soft("HGET", j, "_open")
	if not open then return end
	if num(open) == 0 then
		redis.call("HSET", j, "_bereaved", 1)
		return
	end
	redis.call("HSET", j, "_bereft", state, "_at", "0")
	redis.call("HINCRBY", j, "_mark", 1) -- who is cancelling children knows its mark from a later one
	soft("SADD", k(q, "taskctx:bereft"), id)
end
-- outcome is how an archived task ended: its state and the reason.
local function outcome(own)
	local ok, d = pcall(cjson.decode, own or "")
	local reason = ok and type(d) == "table" and type(d.reason) == "string" and d.reason or ""
	return has(own, '"cancelled":true') and "cancelled" or "failed", reason
end
-- ended follows the end of a task: its parent hears of it, and its children are
-- to be cancelled if it ended badly.
local function ended(q, id, to, own, result, ns)
	local of = soft("HGET", t(q, id), "taskctx_of")
	local state, reason = "succeeded", ""
	if to == "archived" then
		state, reason = outcome(own)
		result = ""
		bereft(q, id, state)
	end
	if of then arrive(of, id, state, result, reason, ns) end
end
-- burn forgets the journal of a task that is forgotten.
local function burn(q, id)
	if soft("SREM", k(q, "taskctx:journals"), id) ~= 1 then return end
	local j = journal(q, id)
	heads[j] = nil
	redis.call("DEL", j)
	soft("SREM", k(q, "taskctx:bereft"), id)
	soft("ZREM", k(q, "taskctx:waits"), id)
end
`

// redoLua has redo, which makes the journal of a task that runs again after it had
// failed or was cancelled one without the children that did not succeed, are gone,
// or will be cancelled. A child that was retried by hand is as it is now.
const redoLua = `
local function redo(q, id)
	local j = journal(q, id)
	local all = soft("HGETALL", j)
	if not all or #all == 0 then return end
	local came, bad, open, others, bytes = 0, {}, 0, 0, 0
	local function count(name, e)
		if e.kind == "c" then
			if e.came == 0 then open = open + 1 end
		else
			others = others + 1
		end
		came, bytes = math.max(came, e.came), bytes + #name + #e.value + #e.result + #e.reason
	end
	for i = 1, #all, 2 do
		local field = all[i]
		local kind = string.sub(field, 1, 1)
		local e = (kind == "e" or kind == "g") and parse(all[i+1])
		if e and e.kind == "c" and (e.came == 0 or e.state ~= "succeeded") then
			bad[#bad+1] = {field, e}
		elseif e then
			count(kind == "g" and e.queue or string.sub(field, 2), e)
		end
	end
	table.sort(bad, function(a, b) return a[2].seq < b[2].seq end)
	for _, x in ipairs(bad) do
		local field, e = x[1], x[2]
		local v = soft("HMGET", t(e.queue, e.child), "state", "taskctx_cancel", "result")
		if not v or not v[1] or v[1] == "archived" or v[1] == "active" and v[2] then
			redis.call("HDEL", j, field)
		else
			e.came, e.state, e.result, e.reason = 0, "-", "", ""
			if v[1] == "completed" then e.came, e.state, e.result = came + 1, "succeeded", v[3] or "" end
			count(string.sub(field, 2), e)
			redis.call("HSET", j, field,
				entry(e.seq, e.attempt, "c", e.orphan, e.came, e.state, e.child, e.queue, e.value, e.result, ""))
		end
	end
	heads[j] = nil
	redis.call("HDEL", j, "_bereft", "_bereaved", "_at", "_wait")
	redis.call("HSET", j, "_came", came, "_failed", 0, "_open", open, "_others", others, "_bytes", bytes)
	soft("SREM", k(q, "taskctx:bereft"), id)
end
`

// redoScript is redo for a run whose task another program has made due. ARGV: the
// queue, id, worker and fence of the run.
var redoScript = script(journalPrelude + redoLua + `
local q, id = ARGV[1], ARGV[2]
local v = soft("HMGET", t(q, id), "state", "taskctx_owner", "taskctx_fence")
if v and v[1] == "active" and v[2] == ARGV[3] and v[3] == ARGV[4] then redo(q, id) end
return 0`)

// goneLua ends a child whose record is gone, in the parent's journal.
const goneLua = `"deleted", "", "` + engine.ReasonDeleted + `"`

// recordScript adds entries to the journal of a running task, and stores the
// children they spawn, all or none. ARGV: the worker, queue, id, fence and
// attempt of the run, and the time in ns; then for each entry its name, kind,
// value, and "1" for an orphan, and of its child the arguments of the insert
// script, or "" for each.
//
// It answers with 0 if the run does not own the task; with 2, an entry and the
// task that holds the key of its child; or with 1 and for each entry what was
// there, or "" if it is new.
var recordScript = script(journalPrelude + holder + `
local q, id, attempt, ns = ARGV[2], ARGV[3], ARGV[5], ARGV[6]
local v = soft("HMGET", t(q, id), "state", "taskctx_owner", "taskctx_fence")
if not v or v[1] ~= "active" or v[2] ~= ARGV[1] or v[3] ~= ARGV[4] then return {0} end
local j = journal(q, id)
local res, fresh, names, keys, told = {1}, {}, {}, {}, {}
local any, known, from = redis.call("EXISTS", j) == 1, {}, 0
-- before is the entry of the name of the i-th argument: they are read some hundred at a time.
local function before(i)
	if not any then return false end
	if i >= from + 13 * #known then
		local ask = {}
		for n = i, math.min(i + 13 * 499, #ARGV), 13 do ask[#ask+1] = "e" .. ARGV[n] end
		from, known = i, soft("HMGET", j, unpack(ask)) or {}
	end
	return known[(i - from) / 13 + 1]
end
for i = 7, #ARGV, 13 do
	local name, cid, key = ARGV[i], ARGV[i+5], ARGV[i+8]
	local old = before(i)
	res[#res+1] = old or ""
	if not old and not names[name] then
		if key ~= "" then
			local held = keys[key] or holder(key, ARGV[i+4])
			if held then return {2, name, held} end
			keys[key] = cid
		end
		if cid ~= "" and redis.call("EXISTS", t(ARGV[i+4], cid)) == 1 then
			return redis.error_reply("CONFLICT a task with the id " .. cid .. " exists")
		end
		names[name] = true
		fresh[#fresh+1] = i
	end
end
if #fresh == 0 then return res end
local h = soft("HMGET", j, "_seq", "_open", "_others", "_bytes") or {}
local seq, open, others, bytes = num(h[1]), num(h[2]), num(h[3]), num(h[4])
firm("HSET", j, "_seq", seq + #fresh)
soft("SADD", k(q, "taskctx:journals"), id)
local of = id .. #q .. ":" .. q
local added = {"HSET", j}
for _, i in ipairs(fresh) do
	local name, kind, value, cq, cid = ARGV[i], ARGV[i+1], ARGV[i+2], ARGV[i+4], ARGV[i+5]
	seq, bytes = seq + 1, bytes + #name + #value
	if #added > 500 then
		redis.call(unpack(added))
		added = {"HSET", j}
	end
	added[#added+1], added[#added+2] = "e" .. name, entry(seq, num(attempt), kind, ARGV[i+3] == "1" and 1 or 0, 0,
		"-", cid ~= "" and cid or "-", cq, value, "", "")
	if cid == "" then
		others = others + 1
	else
		open = open + 1
		if ARGV[i+8] ~= "" then hold(ARGV[i+8], ARGV[i+9], ARGV[i+10]) end
		if not told[cq] then list(cq) end
		told[cq] = true
		local limited = ARGV[i+12] ~= "" and new(cq, cid, ARGV[i+6], ARGV[i+7], ARGV[i+11], ARGV[i+12])
		if limited then
			redis.call("HSET", t(cq, cid), "taskctx_of", of .. name)
		elseif ARGV[i+7] ~= "" then
			redis.call("HSET", t(cq, cid), "msg", ARGV[i+6], "state", "scheduled", "taskctx_name", ARGV[i+11], "taskctx_of", of .. name)
			firm("ZADD", k(cq, "scheduled"), ARGV[i+7], cid)
		else
			redis.call("HSET", t(cq, cid), "msg", ARGV[i+6], "state", "pending", "pending_since", ns,
				"taskctx_name", ARGV[i+11], "taskctx_of", of .. name)
			firm("LPUSH", k(cq, "pending"), cid)
		end
	end
end
added[#added+1], added[#added+2], added[#added+3], added[#added+4] = "_open", open, "_others", others
added[#added+1], added[#added+2] = "_bytes", bytes
redis.call(unpack(added))
for cq in pairs(told) do tell("new", cq) end
return res`)

// signalScript adds a signal to a task's journal, and wakes the task if it waits
// for that. ARGV: the queue, id, name, key and value, the time in ns, and how
// many entries and bytes there may be. It answers with what keeps it from
// that: "gone", "ended", "known" or "full".
var signalScript = script(journalPrelude + `
local q, id, name, key, value = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local state = soft("HGET", t(q, id), "state")
if not state then return "gone" end
if state == "completed" or state == "archived" then return "ended" end
local j, mark = journal(q, id), "k" .. #name .. ":" .. name .. key
local h = soft("HMGET", j, "_seq", "_came", "_failed", "_others", "_bytes", "_wait", mark) or {}
if key ~= "" and h[7] then return "known" end
local seq, came, bytes = num(h[1]) + 1, num(h[2]) + 1, num(h[5]) + #name + #value
if num(h[4]) >= tonumber(ARGV[7]) or bytes > tonumber(ARGV[8]) then return "full" end
firm("HSET", j, "g" .. seq, entry(seq, 0, "g", 0, came, "-", "-", name, value, "", ""), "l" .. name, came,
	"_seq", seq, "_came", came, "_others", num(h[4]) + 1, "_bytes", bytes)
if key ~= "" then redis.call("HSET", j, mark, 1) end
soft("SADD", k(q, "taskctx:journals"), id)
if h[6] and met(j, h[6], came, num(h[3]), name) then wake(q, id, ARGV[6]) end
return ""`)

// wakeScript wakes suspended tasks whose time has come. ARGV: the time as a score
// and in ns, then the queue and id of each.
var wakeScript = script(journalPrelude + `
for i = 3, #ARGV, 2 do
	local at = soft("ZSCORE", k(ARGV[i], "scheduled"), ARGV[i+1])
	if at and tonumber(at) <= tonumber(ARGV[1]) then wake(ARGV[i], ARGV[i+1], ARGV[2]) end
end
return 1`)

// unseenScript writes ends of children down that another program has ended or
// deleted, of one lot of a journal. ARGV: the queue and id of the task, a
// cursor, and the time in ns. It answers with the next cursor.
var unseenScript = script(journalPrelude + `
local q, id = ARGV[1], ARGV[2]
local lot = soft("HSCAN", journal(q, id), ARGV[3], "COUNT", 500)
if not lot then return "0" end
for i = 1, #lot[2], 2 do
	local field = lot[2][i]
	local e = string.sub(field, 1, 1) == "e" and parse(lot[2][i+1])
	if e and e.kind == "c" and e.came == 0 then
		local of = id .. #q .. ":" .. q .. string.sub(field, 2)
		local v = soft("HMGET", t(e.queue, e.child), "state", "taskctx", "result")
		if not v or not v[1] then
			arrive(of, e.child, ` + goneLua + `, ARGV[4])
		elseif v[1] == "completed" then
			arrive(of, e.child, "succeeded", v[3] or "", "", ARGV[4])
		elseif v[1] == "archived" then
			local state, reason = outcome(v[2])
			arrive(of, e.child, state, "", reason, ARGV[4])
		end
	end
end
return lot[1]`)

// openScript answers with children of a task that has ended badly which have not
// ended, of one lot of its journal. ARGV: the queue and id of the task. The
// answer is the next cursor, the state of the task, the mark that says so, and the queue
// and id of each child; the state is "" if none are to be cancelled.
var openScript = script(journalPrelude + `
local q, id = ARGV[1], ARGV[2]
local j = journal(q, id)
local h = soft("HMGET", j, "_bereft", "_at", "_mark")
if not h or not h[1] then
	soft("SREM", k(q, "taskctx:bereft"), id)
	return {"0", "", ""}
end
local lot = redis.call("HSCAN", j, h[2] or "0", "COUNT", 200)
local res = {lot[1], h[1], h[3] or ""}
for i = 1, #lot[2], 2 do
	local e = string.sub(lot[2][i], 1, 1) == "e" and parse(lot[2][i+1])
	if e and e.kind == "c" and e.came == 0 and e.orphan == "0" then res[#res+1], res[#res+2] = e.queue, e.child end
end
return res`)

// bereavedScript notes how far the children of a task were cancelled. ARGV: the
// queue and id of the task, the cursor, and the mark: the task may have been retried, and
// have failed once more.
var bereavedScript = script(journalPrelude + `
local q, id, j = ARGV[1], ARGV[2], journal(ARGV[1], ARGV[2])
local h = redis.call("HMGET", j, "_bereft", "_mark")
if not h[1] or (h[2] or "") ~= ARGV[4] then return 0 end
if ARGV[3] ~= "0" then return redis.call("HSET", j, "_at", ARGV[3]) end
redis.call("HDEL", j, "_bereft", "_at")
redis.call("HSET", j, "_bereaved", 1)
return soft("SREM", k(q, "taskctx:bereft"), id)`)

// lookScript answers with those of the queues from ARGV[2] whose journals are to be
// looked at now: by one worker, once in so many ms as ARGV[1] says.
var lookScript = script(`
local res = {}
for i = 2, #ARGV do
	local q = ARGV[i]
	if (soft("SCARD", k(q, "taskctx:journals")) or 0) > 0 and
		redis.call("SET", k(q, "taskctx:looked"), 1, "NX", "PX", ARGV[1]) then res[#res+1] = q end
end
return res`)

// passScript looks at some journals of a queue: it forgets those of tasks that
// are gone, and notes parents that other programs have ended. ARGV: the queue
// and a cursor. It answers with the next cursor, and the ids of suspended
// tasks with children that have not ended.
var passScript = script(journalPrelude + `
local q = ARGV[1]
local lot = soft("SSCAN", k(q, "taskctx:journals"), ARGV[2], "COUNT", 100)
if not lot then return {"0"} end
local res = {lot[1]}
for _, id in ipairs(lot[2]) do
	local v = soft("HMGET", t(q, id), "state", "taskctx")
	if not v or not v[1] then
		burn(q, id)
	elseif v[1] == "archived" then
		local h = redis.call("HMGET", journal(q, id), "_bereft", "_bereaved")
		if not h[1] and not h[2] then bereft(q, id, (outcome(v[2]))) end
	elseif v[1] == "scheduled" and num(soft("HGET", journal(q, id), "_open")) > 0 then
		res[#res+1] = id
	end
end
return res`)
