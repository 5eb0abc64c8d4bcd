package redis

// claimScript takes up to ARGV[1] tasks for the worker ARGV[2] until the lease
// score ARGV[3], at the time ARGV[4] in µs, with the fence ARGV[5]. ARGV[6] is
// the time as text, ARGV[7] how long in µs a task of an unknown name waits,
// ARGV[8] whether to look for such tasks of the worker's names, ARGV[9] how
// many of the following are those names, before the queues, in their order.
//
// A task of another name is parked at once, so that it holds up no other. It
// waits among asynq's retries, where it is looked at again at growing
// intervals, and in the queue's set of parked tasks, by name, where a worker
// that knows it finds it at once. One that has waited too long is taken, to be
// ended, unless another worker knows it and has no room: the reason says which.
//
// It answers with the queue, id, message, details and memo of each task taken;
// the names and queues of up to ten that were parked for the first time, in
// turn; ids that led to no task; and how many of those taken were parked.
//
// A task of a name that is paused is parked in the same way, and waits there for
// as long as it is paused.
//
// A task with limits is taken when it has its places. The last of the answer is the
// time in µs until a rate has room for another, or "".
var claimScript = script(limitPrelude + claimLua + "return claim(ARGV)")

// claimLua has claim, which answers as claimScript does.
const claimLua = untilRoom + `
local function claim(ARGV)
	local want, owner, lease, now, fence = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
	local stamp, patience, look = ARGV[6], tonumber(ARGV[7]), ARGV[8] == "1"
	local known, first = {}, 10 + tonumber(ARGV[9])
	for i = 10, first - 1 do known[ARGV[i]] = true end
	local rows, strange, lost, found = {}, {}, {}, 0
	local held = {}
	for _, name in ipairs(soft("HKEYS", ours .. "paused") or {}) do held[name] = true end

	-- kind is the type in an asynq message, its first field as a rule.
	local function kind(msg)
		if not msg or string.byte(msg, 1) ~= 10 then return nil end
		local n, b = string.byte(msg, 2), 3
		if not n then return nil end
		if n > 127 then
			local m = string.byte(msg, 3)
			if not m or m > 127 then return nil end
			n, b = n - 128 + 128 * m, 4
		end
		if n == 0 or #msg < b + n - 1 then return nil end
		return string.sub(msg, b, b + n - 1)
	end
	local function read(q, id)
		return soft("HMGET", t(q, id), "state", "msg", "taskctx", "taskctx_memo", "pending_since", "taskctx_parked",
			"taskctx_limits", "taskctx_aside", "taskctx_due")
	end
	-- A line is a queue's tasks that are ready, of which some are read at a time. out are
	-- those that were found, began those that have begun: leave takes them out of asynq's
	-- sets and ours.
	local function lineOf(q) return {q=q, key=k(q, "taskctx:ready"), out={}, began={}, at=1} end
	local function leave(line)
		if line.out[1] then redis.call("ZREM", line.key, unpack(line.out)) end
		if line.began[1] then soft("ZREM", k(line.q, "scheduled"), unpack(line.began)) end
		line.out, line.began, line.lot, line.at = {}, {}, nil, 1
	end
	-- firstReady finds the first task that is ready, unless the first that is pending has
	-- been so for longer.
	local function firstReady(line)
		if line.lot and not line.lot[line.at] and line.at > 1 then leave(line) end
		line.lot = line.lot or soft("ZRANGE", line.key, 0, math.min(want, 100) - 1, "WITHSCORES") or {}
		local id, due = line.lot[line.at], tonumber(line.lot[line.at+1] or "")
		if not id then return nil end
		if line.since == nil then
			local other = soft("LINDEX", k(line.q, "pending"), -1)
			line.since = other and tonumber(soft("HGET", t(line.q, other), "pending_since") or "") or false
		end
		if line.since and line.since / 1000 < due then return nil end
		line.at = line.at + 2
		line.out[#line.out+1] = id
		return id
	end
	-- take lets a run begin, if it has its places: it counts under its rates, by the
	-- clock of the server.
	local function take(q, id, v, started, line)
		local key = t(q, id)
		local ls = v[7] and limitsOf(v[7])
		if ls and started ~= "" then
			local due = tonumber(v[9] or "") or (tonumber(v[5] or "") or now * 1000) / 1000
			local rule = enter(q, id, ls, due, false)
			if rule then
				put(q, id, rule, due, ran(v[3]))
				return
			end
			begins(q, id, ls)
			if clock then started = int(clock) end
		end
		if line then line.began[#line.began+1] = id elseif v[8] then unset(q, id) end
		redis.call("HSET", key, "state", "active", "taskctx_owner", owner, "taskctx_fence", fence, "taskctx_started", started)
		redis.call("HDEL", key, "pending_since", "taskctx_cancel", "taskctx_parked", "taskctx_aside")
		firm("LPUSH", k(q, "active"), id)
		soft("ZADD", k(q, "lease"), lease, id)
		if ran(v[3]) then soft("SREM", k(q, "taskctx:again"), id) end
		rows[#rows+1] = {q, id, v[2] or "", v[3] or "", v[4] or "", started}
		want = want - 1
		return true
	end
	-- since is when a task of an unknown name began to wait, by no clock that is ahead.
	local function since(v)
		local at = tonumber(v[6] or "") or tonumber(v[8] and v[9] or "") or (tonumber(v[5] or "") or 0) / 1000
		if at > 0 and at <= now then return at end
		return now
	end
	-- familiar reports that another worker that lives serves the queue and knows the name.
	local others
	local function familiar(q, name)
		if not others then
			others = {}
			local ids = soft("ZREVRANGE", ours .. "workers", 0, 999, "WITHSCORES") or {}
			for i = 1, #ids, 2 do
				local raw = ids[i] ~= owner and soft("GET", ours .. "worker:" .. ids[i])
				local ok, w = pcall(cjson.decode, raw or "")
				if ok and type(w) == "table" and type(w.names) == "table" and type(w.queues) == "table"
					and now / 1e6 - tonumber(ids[i+1]) <= (tonumber(w.lease) or 0) * 1.2e-9 then
					local knows, serves = {}, {}
					for _, n in ipairs(w.names) do knows[n] = true end
					for _, n in ipairs(w.queues) do serves[n] = true end
					others[#others+1] = {knows, serves}
				end
			end
		end
		for _, w in ipairs(others) do
			if w[1][name] and w[2][q] then return true end
		end
	end
	local function park(q, id, v, name, from, other)
		local waited = now - from
		local delay = math.min(math.max(waited, 1e7), 3e8)
		if not other then delay = math.min(delay, patience - waited) end
		local ok, own = pcall(cjson.decode, v[3] or "{}")
		if not ok or type(own) ~= "table" then own = {} end
		own.reason = 'no worker of queue "' .. q .. '" knows the task "' .. name .. '"'
		if other then own.reason = 'waits for the worker of queue "' .. q .. '" that knows the task "' .. name .. '"' end
		if held[name] then delay, own.reason = 3e8, 'tasks named "' .. name .. '" are paused' end
		own.parked = own.parked or stamp
		if v[8] then unset(q, id) end
		quit(q, id, limitsOf(v[7]), false)
		redis.call("HSET", t(q, id), "state", "retry", "taskctx", cjson.encode(own),
			"taskctx_parked", string.format("%.0f", from), "taskctx_name", name)
		redis.call("HDEL", t(q, id), "pending_since")
		firm("ZADD", k(q, "retry"), string.format("%.6f", (now + delay) / 1e6), id)
		firm("ZADD", k(q, "taskctx:parked"), 0, name .. "\0" .. id)
		if not v[6] and not held[name] and not other and #strange < 20 then
			strange[#strange+1], strange[#strange+2] = name, q
		end
	end
	local function lookFor(q)
		local set = k(q, "taskctx:parked")
		if (soft("ZCARD", set) or 0) == 0 then return end
		for i = 10, first - 1 do
			local name = ARGV[i]
			if want > 0 and not held[name] then
				for _, m in ipairs(soft("ZRANGEBYLEX", set, "[" .. name .. "\0", "(" .. name .. "\1", "LIMIT", 0, want) or {}) do
					local id = string.sub(m, #name + 2)
					redis.call("ZREM", set, m)
					local v = read(q, id)
					if v and v[1] == "retry" and soft("ZREM", k(q, "retry"), id) == 1 then
						take(q, id, v, ARGV[4])
						found = found + 1
					end
				end
			end
		end
	end
	for i = first, #ARGV do
		local q = ARGV[i]
		if want > 0 and redis.call("EXISTS", k(q, "paused")) == 0 then
			if look then lookFor(q) end
			local aside, line = 0, (soft("ZCARD", k(q, "taskctx:ready")) or 0) > 0 and lineOf(q)
			while want > 0 and aside < 1000 do
				local let = line and firstReady(line)
				local id = let or firm("RPOP", k(q, "pending"))
				if not id then break end
				if line and not let then line.since = nil end
				local v = read(q, id)
				local name = v and kind(v[2])
				if let and (not v or v[1] ~= "scheduled" or v[8] ~= "") then
					aside = aside + 1 -- another program has moved or deleted it
				elseif not v or not (v[1] or v[2]) or not let and elsewhere(q, id, v[1]) then
					aside = aside + 1
					if soft("SREM", k(q, "taskctx:gone"), id) ~= 1 and #lost < 10 and (not v or not v[1]) then lost[#lost+1] = id end
				elseif not name or known[name] and not held[name] then
					if not take(q, id, v, ARGV[4], let and line) then aside = aside + 1 end
				else
					aside = aside + 1
					local from, other = since(v), not held[name] and familiar(q, name)
					if now - from >= patience and not held[name] and not other then
						take(q, id, v, "", let and line)
					else
						park(q, id, v, name, from, other)
					end
				end
			end
			if line then leave(line) end
			if aside > 0 then tell("new", q) end -- there may be workers that know them, and more here
		end
	end
	settle()
	return {rows, strange, lost, found, clock and untilRoom() or ""}
end
`

// concludeScript writes outcomes. ARGV: the worker, the time in ns, as a score
// and as text, asynq's day and when its counters expire. Then for each outcome
// the queue, id, fence, the task's next place, its score, message or "",
// details, the memo and the result, or "" to leave them, a key to let go of,
// and the score if it is archived.
//
// A key begins with the way in which it is held: one held until the task has
// begun is let go of in any case. A task that was cancelled while it ran does
// not run again. The answer is 1 for each outcome whose task the worker owned,
// or that it had written: the client sends a script again when its answer was
// lost.
var concludeScript = script(`local suspend, ended, limitsOf, come, quit, settle, micros` + concludeLua + "return conclude(ARGV)")

// familyScript is concludeScript for durable tasks, their children, and tasks with
// limits. One that
// suspends goes to "waits", with the end of its wait as the score, "" for at
// once, and what it waits for as the result.
var familyScript = script(journalPrelude + suspendLua + concludeLua + "return conclude(ARGV)")

// stepScript is familyScript and then claimScript: who ends a task takes the one that it
// lets in, and nobody else is woken for that. ARGV: how many arguments familyScript has,
// they, and those of claimScript. It answers with both answers.
var stepScript = script(journalPrelude + suspendLua + concludeLua + claimLua + `
local outcomes, rest, n = {}, {}, tonumber(ARGV[1])
for i = 2, 1 + n do outcomes[#outcomes+1] = ARGV[i] end
for i = 2 + n, #ARGV do rest[#rest+1] = ARGV[i] end
readied = {}
local written = conclude(outcomes)
local claimed = claim(rest)
announce()
return {written, claimed}`)

// suspendLua has how a task is suspended.
const suspendLua = `
local function suspend(q, id, score, wait, ns)
	local j = journal(q, id)
	local h = soft("HMGET", j, "_came", "_failed") or {}
	if score == "" or met(j, wait, num(h[1]), num(h[2])) then return "pending", "first" end
	firm("HSET", j, "_wait", wait)
	heads[j] = nil
	soft("SADD", k(q, "taskctx:journals"), id)
	firm("ZADD", k(q, "taskctx:waits"), score, id)
	return "scheduled", score
end
`

// concludeLua has conclude, which answers as concludeScript does.
const concludeLua = `
local function conclude(ARGV)
	local owner, now, day, expire, res = ARGV[1], ARGV[2], ARGV[5], ARGV[6], {}
	local processed, failed, news = {}, {}, {}
	local function add(counts, q) counts[q] = (counts[q] or 0) + 1 end
	local function write(q, id, fence, to, score, msg, own, memo, result, key, archived, cancel, limits)
		if cancel and (to == "pending" or to == "retry" or to == "waits") then
			to, score, own = "archived", archived, cancelled(own, cancel, ARGV[4])
		elseif cancel and to == "archived" and has(own, '"cancelled":true') and not has(own, '"reason":') then
			own = cancelled(own, cancel, ARGV[4])
		end
		if to == "waits" then
			to, score = suspend(q, id, score, result, now)
			result = ""
		end
		soft("LREM", k(q, "active"), 1, id)
		soft("ZREM", k(q, "lease"), id)
		local hash = t(q, id)
		redis.call("HDEL", hash, "taskctx_owner", "taskctx_cancel", "taskctx_fence", "taskctx_started")
		local set = {"HSET", hash, "state", to, "taskctx", own, "taskctx_wrote", fence}
		local function with(field, v) set[#set+1], set[#set+2] = field, v end
		if msg ~= "" then with("msg", msg) end
		if memo ~= "" then with("taskctx_memo", memo) end
		if result ~= "" then with("result", result) end
		if to == "pending" then with("pending_since", now) end
		redis.call(unpack(set))
		local final = to == "completed" or to == "archived"
		local ls = limitsOf and limitsOf(limits)
		if ls then quit(q, id, ls, final) end
		if to == "pending" and ls then
			local due = score == "first" and tonumber(redis.call("HGET", hash, "taskctx_due") or "")
			redis.call("HDEL", hash, "pending_since")
			come(q, id, ls, due or micros(), ran(own))
		elseif to == "pending" then
			if ran(own) then soft("SADD", k(q, "taskctx:again"), id) end
			firm(score == "first" and "RPUSH" or "LPUSH", k(q, "pending"), id)
			news[q] = true
		else
			firm("ZADD", k(q, to), score, id)
		end
		if final then
			add(processed, q)
			tell("end", id)
			if ended then ended(q, id, to, own, result, now) end
		end
		if to == "archived" then
			add(failed, q)
			if has(own, '"cancelled":true') then soft("SADD", k(q, "taskctx:cancelled"), id) end
		end
		if key ~= "" and (final or string.sub(key, 1, 1) == "2") then forget(string.sub(key, 2), id) end
	end
	for i = 7, #ARGV, 11 do
		local q, id, fence = ARGV[i], ARGV[i+1], ARGV[i+2]
		local v
		if limitsOf then
			v = soft("HMGET", t(q, id), "state", "taskctx_owner", "taskctx_fence", "taskctx_cancel", "taskctx_wrote", "taskctx_limits")
		else
			v = soft("HMGET", t(q, id), "state", "taskctx_owner", "taskctx_fence", "taskctx_cancel", "taskctx_wrote")
		end
		if v and v[5] == fence then
			res[#res+1] = 1
		elseif not v or v[1] ~= "active" or v[2] ~= owner or v[3] ~= fence then
			res[#res+1] = 0
		else
			res[#res+1] = 1
			write(q, id, fence, ARGV[i+3], ARGV[i+4], ARGV[i+5], ARGV[i+6], ARGV[i+7], ARGV[i+8], ARGV[i+9], ARGV[i+10], v[4], v[6])
		end
	end
	local function count(name, counts)
		for q, n in pairs(counts) do
			local key = k(q, name .. ":" .. day)
			if soft("INCRBY", key, n) == n then redis.call("EXPIREAT", key, expire) end
			soft("INCRBY", k(q, name), n)
		end
	end
	count("processed", processed)
	count("failed", failed)
	for q in pairs(news) do tell("new", q) end
	if settle then settle() end
	return res
end
`

// saveMemoScript writes the memo of a running task. ARGV: the worker, queue,
// id, fence and memo.
var saveMemoScript = script(`
local v = soft("HMGET", t(ARGV[2], ARGV[3]), "state", "taskctx_owner", "taskctx_fence")
if not v or v[1] ~= "active" or v[2] ~= ARGV[1] or v[3] ~= ARGV[4] then return 0 end
redis.call("HSET", t(ARGV[2], ARGV[3]), "taskctx_memo", ARGV[5])
return 1`)

// runningScript answers with the queue, id, worker, fence, cancel reason and
// whether it was cancelled, for all tasks in the queues ARGV that run on
// workers of ours. It takes out ids that lead to no task.
var runningScript = script(`
local res = {}
for _, q in ipairs(ARGV) do
	for _, id in ipairs(soft("LRANGE", k(q, "active"), 0, -1) or {}) do
		local v = soft("HMGET", t(q, id), "taskctx_owner", "taskctx_fence", "taskctx_cancel", "state")
		if not v or not v[4] then
			redis.call("LREM", k(q, "active"), 1, id)
			soft("ZREM", k(q, "lease"), id)
		elseif v[1] and v[4] == "active" then
			res[#res+1] = {q, id, v[1], v[2], v[3] or "", v[3] and 1 or 0}
		end
	end
end
return res`)

// takeOverScript gives a task of a lost worker to others. ARGV: the worker,
// its beat as last seen, the queue, id, fence, message and details, the time
// in ns and as text, and the score if it is archived.
var takeOverScript = script(journalPrelude + `
local owner, beats, q, id, fence = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
if (soft("GET", ours .. "beat:" .. owner) or "") ~= beats then return 0 end
local v = soft("HMGET", t(q, id), "state", "taskctx_owner", "taskctx_fence", "taskctx_cancel", "taskctx_limits", "taskctx_due")
if not v or v[1] ~= "active" or v[2] ~= owner or v[3] ~= fence then return 0 end
soft("LREM", k(q, "active"), 1, id)
soft("ZREM", k(q, "lease"), id)
redis.call("HDEL", t(q, id), "taskctx_owner", "taskctx_cancel", "taskctx_fence", "taskctx_started")
if v[4] then -- it was cancelled, and nobody is left to end it
	redis.call("HSET", t(q, id), "msg", ARGV[6])
	local own = cancelled(ARGV[7], v[4], ARGV[9])
	archive(q, id, own, ARGV[10])
	quit(q, id, limitsOf(v[5]), true)
	ended(q, id, "archived", own, "", ARGV[8])
	settle()
	return 1
end
local ls = limitsOf(v[5])
if ls then
	redis.call("HSET", t(q, id), "msg", ARGV[6], "taskctx", ARGV[7])
	quit(q, id, ls, false)
	come(q, id, ls, tonumber(v[6] or "") or micros(), false)
	settle()
	return 1
end
redis.call("HSET", t(q, id), "state", "pending", "msg", ARGV[6], "taskctx", ARGV[7], "pending_since", ARGV[8])
firm("RPUSH", k(q, "pending"), id)
tell("new", q)
return 1`)
