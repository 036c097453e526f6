-- What the store knows of one caller, learned and asked in one round trip.
--
-- KEYS 1 the lists (hash)   2 the caller's record   3 the DIDs he called (sorted set)   4 this call
--      5 what he taught us (`learn.lua`)   6 his calls that are up   7 new callers of his block
--      8 the DIDs he let ring for a moment (all sorted sets)   9 the trunk's record
--      10 his challenges (`learn.lua`)   11 those of callers without a number on this trunk
--      12 there while a code is expected   13 the trunk's user agents   14… the feeds (all hashes)
--      the last three: the campaigns (hash), what this caller spoke, what his block spoke
-- ARGV 1 the DID   2 '1' to count the call, '' to look only   3 Unix time instead of the server's, or ''
--      4 the fields of the lists that could match, the winner first, with spaces between (many small
--        arguments cost the client more than the whole script)
--      5 the fields of the feeds that could match, the longest first
--      6 this call among those that are up   7 the caller within his block
--      8 the caller; '' for one without a number: nothing is counted   9 the digest of his user agent, or ''
--
-- Answers with a map of facts in their own types (RESP3). A call is counted once, however often it
-- is asked about; looking only gives what counting would give. Where the server refuses to write
-- (memory full, read-only replica, disk error), the lists still answer, and `missing` says why
-- there are no counters: numbers that were not kept would be guesses.
--
-- Whatever is remembered is forgotten by the times written in it, also where the server's own expiry
-- does not come (calls of the past, `rehearsal.py`).
--
-- To add a signal: a function that fills `facts`, its writes through `write`, its keys with a TTL.

local WINDOWS = {
  { 'caller.calls_1m', 60 },
  { 'caller.calls_1h', 3600 },
  { 'caller.calls_1d', 86400 },
  { 'caller.calls_7d', 604800 },
}
local DAY_S, WEEK_S = 86400, 604800
local GAPS = 5
-- First seen, calls in all; per window: bucket, calls in it, calls in the one before (40 bytes so far).
-- By `over.lua`: the day, in it and in the day before unanswered calls and short rings; the week, in it
-- and in the one before calls that something of ours answered, those that he left at once, and those that
-- one of us left soon (28 bytes).
-- When he called last, and the gaps between his last calls (28 bytes).
local RECORD = '<I4I4' .. string.rep('I4I2I2', #WINDOWS) .. 'I4I2I2I2I2I4I2I2I2I2I2I2d' .. string.rep('f', GAPS)
local RECORD_BYTES, ENDS, LAST = 96, 15, 27
-- Who calls a third time is remembered for longer. Where memory is short the server drops first what
-- would expire first: what a flood of strangers left goes before those who call now and then.
local RECORD_TTL_S = 691200
local REGULAR_CALLS, REGULAR_TTL_S = 3, 1382400
-- As in learn.lua.
local TRUST, TRUST_BYTES, TRUST_TTL_S = '<I4I4I2fff', 22, 15552000
local CHALLENGES, CHALLENGES_BYTES = '<I4I4I2I2', 12
local CALL_TTL_S = 3600
local HOUR_S = 3600
local SET_MAX = 128
local COUNT_MAX = 65535
local NO_CADENCE = 9
local NEW_CALLS = 2
local FEEDS_FROM = 14
-- Of a user agent on a trunk: the week; in it and in the one before its calls, and those of strangers; in
-- both how many of 64 places its strangers' blocks fell into, and these places. Field '' is the trunk: all
-- calls, and those of the agent that has most. 30 bytes each.
local AGENT, AGENT_BYTES, AGENTS_MAX, AGENTS_TTL_S = '<I4I4I4I4I4BBI4I4', 30, 64, 1209600
local PLACES, REWRITTEN = 64, 0.8
-- Of a trunk: the hour, calls in it and in the one before, the first hour; then for each hour of the week
-- (UTC) the mean of its calls, in which the latest week counts a quarter. 688 bytes.
local TRUNK, TRUNK_BYTES, TRUNK_TTL_S, HOURS, LATEST = '<I4I4I4I4', 16, 4838400, 168, 0.25
-- Weeks before anything is said, and the calls an hour below which no trunk is usual.
local TRUNK_WEEKS, TRUNK_LEAST, RATIO_MAX = 2, 2, 1000

redis.setresp(3)

local did, counting = ARGV[1], ARGV[2] == '1'
local now = tonumber(ARGV[3])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local facts = {
  ['list.allow'] = false,
  ['list.block'] = false,
  ['list.entry'] = '',
  ['list.reason'] = '',
  ['list.source'] = '',
}
local refused = nil

local function write(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then refused = reply.err end
  return reply
end

-- Members of a sorted set since a moment. Of what another program left there nothing is known.
local function tally(key, since, to)
  local members = write('ZCOUNT', key, since, to)
  return type(members) == 'number' and members or 0
end

local function ask_lists()
  local fields = {}
  for field in string.gmatch(ARGV[4], '%S+') do fields[#fields + 1] = field end
  if #fields == 0 then return end
  local values = redis.call('HMGET', KEYS[1], unpack(fields))
  for i, field in ipairs(fields) do
    local value = values[i]
    local expires, source, reason
    if value then
      expires, source, reason = string.match(value, '^(%d*)\t%d*\t([^\t]*)\t[^\t]*\t(.*)$')
    end
    if expires and (expires == '' or tonumber(expires) > now) then
      local kind = string.sub(field, 1, 1) == 'a' and 'list.allow' or 'list.block'
      facts[kind] = true
      facts['list.entry'] = string.sub(field, 2)
      facts['list.reason'] = reason
      facts['list.source'] = source
      return
    end
  end
end

-- Of each feed that has a snapshot (its field '@' says from when): the feed's place among the keys, the
-- snapshot's time, the longest pattern that matches and its value. The client knows what it weighs.
local function ask_feeds()
  local found, fields = {}, { '@' }
  for field in string.gmatch(ARGV[5] or '', '%S+') do fields[#fields + 1] = field end
  for key = FEEDS_FROM, #KEYS - 3 do
    local values = redis.pcall('HMGET', KEYS[key], unpack(fields))
    if values[1] then
      local entry = { key - FEEDS_FROM, values[1], '', '' }
      for i = #fields, 2, -1 do
        if values[i] then entry[3], entry[4] = fields[i], values[i] end
      end
      found[#found + 1] = entry
    end
  end
  facts['feeds'] = found
end

-- The campaign that the caller spoke before; if he spoke none, the one that two numbers of his block did.
local function ask_campaign()
  facts['campaign.id'], facts['campaign.name'], facts['campaign.verdict'] = '', '', ''
  facts['campaign.calls'], facts['campaign.callers'] = 0, 0
  local id = redis.pcall('GET', KEYS[#KEYS - 1]) or redis.pcall('GET', KEYS[#KEYS])
  if type(id) ~= 'string' then return end
  local values = redis.pcall('HMGET', KEYS[#KEYS - 2], id .. ':calls', id .. ':callers', id .. ':name', id .. ':verdict')
  if not tonumber(values[1]) or not tonumber(values[2]) then return end
  facts['campaign.id'] = id
  facts['campaign.calls'], facts['campaign.callers'] = tonumber(values[1]), tonumber(values[2])
  facts['campaign.name'] = values[3] or ''
  facts['campaign.verdict'] = values[4] or 'unknown'
end

-- The record as it is; the client knows what it has come to by now.
local function ask_trust()
  local stored = redis.pcall('GET', KEYS[5])
  if not stored or #stored ~= TRUST_BYTES then return end
  local at, dialled_at, half_life, good, bad, talk = struct.unpack(TRUST, stored)
  if now - at >= TRUST_TTL_S then return end
  facts['trust'] = { at, dialled_at, half_life, { double = good }, { double = bad }, { double = talk } }
end

local function count(value) return math.floor(value + 0.5) end

-- Two buckets stand for a sliding window: the older one counts by the share still inside it. What the
-- buckets hold by now, and the window's bucket of now.
local function rolled(size, bucket, this, before)
  local current = math.floor(now / size)
  if bucket == current then return this, before, current end
  return 0, bucket == current - 1 and this or 0, current
end
local function inside(size) return 1 - (now % size) / size end

-- How his earlier calls ended.
local function ask_ends(record)
  local at = ENDS
  local function pair(size, first)
    local this, before = rolled(size, record[at], record[at + first], record[at + first + 1])
    return count(this + before * inside(size))
  end
  facts['caller.unanswered_1d'] = pair(DAY_S, 1)
  facts['caller.short_rings'] = pair(DAY_S, 3)
  at = ENDS + 5
  local answered, left = pair(WEEK_S, 1), pair(WEEK_S, 3)
  facts['caller.answered_n'] = answered
  facts['caller.cut_short_n'] = pair(WEEK_S, 5)
  facts['caller.abandon_ratio'] = { double = answered > 0 and math.min(1, left / answered) or 0 }
end

-- How regularly he calls: a machine's gaps are alike.
local function ask_cadence(record, add)
  local last = record[LAST]
  if add == 1 then
    if last > 0 then
      for i = LAST + 1, LAST + GAPS - 1 do record[i] = record[i + 1] end
      record[LAST + GAPS] = math.max(0, now - last)
    end
    record[LAST] = math.max(last, now)
  end
  local gaps, sum, squares = math.min(GAPS, record[2] - 1), 0, 0
  for i = LAST + 1, LAST + GAPS do sum = sum + record[i] end
  local mean = sum / GAPS
  for i = LAST + 1, LAST + GAPS do squares = squares + (record[i] - mean) ^ 2 end
  local cv = NO_CADENCE
  if gaps == GAPS and mean > 0 then cv = math.min(NO_CADENCE, math.sqrt(squares / GAPS) / mean) end
  facts['caller.gap_cv'] = { double = cv }
end

-- Of challenges: when one was passed, and how many were failed within the window (two buckets, as below).
local function ask_challenges(key, window_s)
  local stored = redis.pcall('GET', key)
  if not stored or #stored ~= CHALLENGES_BYTES then return 0, 0 end
  local passed_at, at, failed, before = struct.unpack(CHALLENGES, stored)
  local bucket = math.floor(now / window_s)
  if bucket ~= at then
    before = bucket == at + 1 and failed or 0
    failed = 0
  end
  return passed_at, math.floor(failed + before * (1 - (now % window_s) / window_s) + 0.5)
end

local function ask_reactions()
  local passed_at, failed = ask_challenges(KEYS[10], DAY_S)
  -- What lies ahead of the clock is nonsense.
  local days = passed_at > 0 and passed_at <= now + 60 and math.max(0, now - passed_at) / 86400 or 9999
  facts['caller.challenge_passed_days'] = { double = days }
  facts['caller.challenges_failed_1d'] = failed
  passed_at, failed = ask_challenges(KEYS[11], HOUR_S)
  facts['trunk.challenges_failed_1h'] = failed
end

local function ask_house()
  facts['house.expecting_code'] = redis.call('EXISTS', KEYS[12]) == 1
end

local function ask_record(known)
  local stored = redis.pcall('GET', KEYS[2])
  local record
  if stored and #stored == RECORD_BYTES then
    record = { struct.unpack(RECORD, stored) }
    local memory = record[2] >= REGULAR_CALLS and REGULAR_TTL_S or RECORD_TTL_S
    if record[LAST] > 0 and now - record[LAST] >= memory then record = nil end
  end
  if not record then
    record = {}
    for i = 1, LAST + GAPS do record[i] = 0 end
  end
  if record[1] == 0 then record[1] = math.floor(now) end
  local add = known and 0 or 1
  record[2] = record[2] + add
  for i, window in ipairs(WINDOWS) do
    local at, size = 3 * i, window[2]
    local this, before, bucket = rolled(size, record[at], record[at + 1], record[at + 2])
    record[at], record[at + 1], record[at + 2] = bucket, math.min(this + add, COUNT_MAX), before
    facts[window[1]] = count(record[at + 1] + before * inside(size))
  end
  ask_ends(record)
  ask_cadence(record, add)
  facts['caller.first_seen_days'] = { double = math.max(0, now - record[1]) / DAY_S }
  facts['caller.is_new'] = record[2] <= 1
  if counting and not known then
    local memory = record[2] >= REGULAR_CALLS and REGULAR_TTL_S or RECORD_TTL_S
    write('SET', KEYS[2], struct.pack(RECORD, unpack(record, 1, LAST + GAPS)), 'EX', memory)
  end
  return record
end

-- The score of a member if it is not older than the hour.
local function fresh(key, member)
  local score = redis.pcall('ZSCORE', key, member)
  if type(score) == 'table' then score = score.double end
  return score and tonumber(score) >= now - HOUR_S
end

-- Puts a member into a set that is asked for the last hour; `others` are in it already.
local function remember(key, score, member, others)
  write('ZADD', key, score, member)
  if others > 0 then write('ZREMRANGEBYRANK', key, 0, -SET_MAX - 1) end
  write('EXPIRE', key, HOUR_S)
end

-- How many of our numbers next to each other he called, the present one among them.
local function ask_sweep(dids)
  local run = 1
  local head, tail = string.match(did, '^(%+?%d-)(%d%d?%d?%d?%d?%d?%d?%d?%d?)$')
  if dids > 1 and head then
    local form = head .. '%0' .. #tail .. 'd'
    for step = -1, 1, 2 do
      local next = tonumber(tail) + step
      while next >= 0 and run < SET_MAX and fresh(KEYS[3], string.format(form, next)) do
        run, next = run + 1, next + step
      end
    end
  end
  facts['caller.sweep_run'] = run
end

local function ask_fanout(known)
  local others = tally(KEYS[3], now - HOUR_S, '+inf')
  local dids = others + (others > 0 and fresh(KEYS[3], did) and 0 or 1)
  facts['caller.dids_1h'] = math.min(dids, SET_MAX)
  ask_sweep(dids)
  if counting and not known then remember(KEYS[3], now, did, others) end
end

-- An end that was lost must not hold for ever: a call counts for an hour at most.
local function ask_live(known, over)
  local others = tally(KEYS[6], now - HOUR_S, '+inf')
  local listed = over or (known and fresh(KEYS[6], ARGV[6]))
  facts['caller.live'] = math.max(1, math.min(others + (listed and 0 or 1), SET_MAX))
  if counting and not known and not over then remember(KEYS[6], now, ARGV[6], others) end
end

-- Callers of one block who were first heard within the hour and called once or twice: a dialler that
-- changes its number after a call or two.
local function ask_block(record, known)
  local new = now - record[1] < HOUR_S and record[2] <= NEW_CALLS
  local others = tally(KEYS[7], now - HOUR_S, '+inf')
  local held = others > 0 and record[2] <= NEW_CALLS + 1 and fresh(KEYS[7], ARGV[7])
  facts['caller.block_new_1h'] = math.min(others + ((held and -1 or 0) + (new and 1 or 0)), SET_MAX)
  if not counting or known then return end
  if new and not held then
    remember(KEYS[7], record[1], ARGV[7], others)
  elseif held and not new then
    write('ZREM', KEYS[7], ARGV[7])
  end
end

local function ask_short_rings()
  local dids = tally(KEYS[8], now - DAY_S, '+inf')
  facts['caller.short_ring_dids'] = math.min(dids, SET_MAX)
end

local function usual(hour)
  local at = TRUNK_BYTES + 4 * (hour % HOURS)
  local stored = redis.pcall('GETRANGE', KEYS[9], at, at + 3)
  return #stored == 4 and struct.unpack('<f', stored) or 0
end

-- Files the hours that are over under their hours of the week; those without a call, too.
local function file_hours(from, to, calls)
  for hour = from, math.min(to, from + HOURS) - 1 do
    local mean, latest = usual(hour), hour == from and calls or 0
    local now_usual = struct.pack('<f', mean + LATEST * (latest - mean))
    write('SETRANGE', KEYS[9], TRUNK_BYTES + 4 * (hour % HOURS), now_usual)
  end
end

-- Calls of the last hour on this trunk against what its hour of the week usually brings.
local function ask_trunk(known)
  local hour, stored = math.floor(now / HOUR_S), redis.pcall('GETRANGE', KEYS[9], 0, TRUNK_BYTES - 1)
  local at, this, before, since = hour, 0, 0, hour
  if #stored == TRUNK_BYTES then at, this, before, since = struct.unpack(TRUNK, stored) end
  if (hour - at) * HOUR_S >= TRUNK_TTL_S then
    if counting then write('UNLINK', KEYS[9]) end
    at, this, before, since, stored = hour, 0, 0, hour, ''
  end
  local turned = hour > at or #stored < TRUNK_BYTES
  if hour > at then
    if counting and not known then file_hours(at, hour, this) end
    this, before, at = 0, hour == at + 1 and this or 0, hour
  end
  this = this + (known and 0 or 1)
  local ratio, weeks, part = 1, math.floor((hour - since) / HOURS), inside(HOUR_S)
  if weeks >= TRUNK_WEEKS then
    -- A mean that began at nothing, and has had so many weeks to rise.
    local mean = (usual(hour) * (1 - part) + usual(hour - 1) * part) / (1 - (1 - LATEST) ^ weeks)
    ratio = math.min(RATIO_MAX, (this + before * part) / math.max(mean, TRUNK_LEAST))
  end
  facts['trunk.rate_ratio'] = { double = ratio }
  if counting and not known then
    write('SETRANGE', KEYS[9], 0, struct.pack(TRUNK, at, this, before, since))
    if turned then write('EXPIRE', KEYS[9], TRUNK_TTL_S) end
  end
end

local function agent_of(field)
  local stored = redis.pcall('HGET', KEYS[13], field)
  local week = math.floor(now / WEEK_S)
  if type(stored) ~= 'string' or #stored ~= AGENT_BYTES then return { week, 0, 0, 0, 0, 0, 0, 0, 0 }, false end
  local record = { struct.unpack(AGENT, stored) }
  if record[1] == week then return record, true end
  local function last(value) return record[1] == week - 1 and value or 0 end
  return { week, 0, last(record[2]), 0, last(record[4]), 0, last(record[6]), 0, 0 }, true
end

-- Room for one more agent. Who was met once gives way; of a flood of names, none drives out the others.
local function make_room()
  if redis.call('HLEN', KEYS[13]) <= AGENTS_MAX then return true end
  local victim, least = nil, 2
  for field in pairs(redis.call('HGETALL', KEYS[13]).map) do
    local record = agent_of(field)
    local calls = record[2] + record[3]
    if field ~= '' and (calls < least or (victim and calls == least and field < victim)) then
      victim, least = field, calls
    end
  end
  if victim then write('HDEL', KEYS[13], victim) end
  return victim ~= nil
end

-- How many unrelated strangers came with this software. Where one name stands for nearly all calls, the
-- carrier writes it and it says nothing.
local function ask_agent(record, known)
  if ARGV[9] == '' then return end
  local all, held_all = agent_of('')
  local one, held = agent_of(ARGV[9])
  local part = inside(WEEK_S)
  local function lately(of, at) return of[at] + of[at + 1] * part end
  if not known then
    all[2], one[2] = all[2] + 1, one[2] + 1
    if now - record[1] < DAY_S and not facts['trust'] then
      one[4] = one[4] + 1
      local place = tonumber(string.sub(redis.sha1hex(KEYS[7]), 1, 2), 16) % PLACES
      local at, bit_of = 8 + math.floor(place / 32), 2 ^ (place % 32)
      if math.floor(one[at] / bit_of) % 2 == 0 then one[at], one[6] = one[at] + bit_of, one[6] + 1 end
    end
    all[4] = math.max(all[4], one[2])
  end
  if lately(one, 2) > 0 and lately(all, 4) < REWRITTEN * lately(all, 2) then
    -- As many blocks as leave so many places empty.
    local function blocks(taken) return -PLACES * math.log(math.max(1, PLACES - taken) / PLACES) end
    facts['agent.strangers_7d'] = count(blocks(one[6]) + blocks(one[7]) * part)
    facts['agent.stranger_share'] = { double = lately(one, 4) / lately(one, 2) }
  end
  if not counting or known then return end
  write('HSET', KEYS[13], '', struct.pack(AGENT, unpack(all)))
  if refused then return end
  if held or make_room() then write('HSET', KEYS[13], ARGV[9], struct.pack(AGENT, unpack(one))) end
  if not held_all or all[2] == 1 then write('EXPIRE', KEYS[13], AGENTS_TTL_S) end
end

ask_lists()
ask_feeds()
ask_campaign()
ask_trust()
ask_reactions()
ask_house()
if ARGV[8] == '' then return { map = facts } end
local lists_only = {}
for name, value in pairs(facts) do lists_only[name] = value end

-- '1' counted, '2' counted and over, '0' over before it was counted: the two ways may overtake each other.
local call = redis.pcall('GET', KEYS[4])
local known, over = call == '1' or call == '2', call == '0' or call == '2'
if counting and not known then write('SET', KEYS[4], over and '2' or '1', 'EX', CALL_TTL_S) end
if not refused then
  local record = ask_record(known)
  ask_fanout(known)
  ask_live(known, over)
  ask_block(record, known)
  ask_short_rings()
  ask_trunk(known)
  ask_agent(record, known)
end
if refused then
  lists_only['missing'] = refused
  return { map = lists_only }
end
return { map = facts }
