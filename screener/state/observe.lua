-- What the store knows of one caller, learned and asked in one round trip.
--
-- KEYS 1 the lists (hash)   2 the caller's record   3 the DIDs he called (sorted set)   4 this call
--      5 what he taught us (`learn.lua`)   6 his challenges (`learn.lua`)   7 those of callers without a
--      number on this trunk   8 there while a code is expected   9… the feeds (hashes)
--      the last three: the campaigns (hash), what this caller spoke, what his block spoke
-- ARGV 1 the DID   2 '1' to count the call, '' to look only   3 Unix time instead of the server's, or ''
--      4 the fields of the lists that could match, the winner first, with spaces between (many small
--        arguments cost the client more than the whole script)
--      5 the fields of the feeds that could match, the longest first   6 '' for a caller without a number:
--        nothing is counted
--
-- Answers with a map of facts in their own types (RESP3). A call is counted once, however often it
-- is asked about; looking only gives what counting would give. Where the server refuses to write
-- (memory full, read-only replica, disk error), the lists still answer, and `missing` says why
-- there are no counters: numbers that were not kept would be guesses.
--
-- To add a signal: a function that fills `facts`, its writes through `write`, its keys with a TTL.

local WINDOWS = {
  { 'caller.calls_1m', 60 },
  { 'caller.calls_1h', 3600 },
  { 'caller.calls_1d', 86400 },
  { 'caller.calls_7d', 604800 },
}
-- first seen, calls in all; per window: bucket, calls in it, calls in the one before. 40 bytes.
local RECORD = '<I4I4' .. string.rep('I4I2I2', #WINDOWS)
local RECORD_BYTES = 8 + 8 * #WINDOWS
local RECORD_TTL_S = 691200
-- As in learn.lua.
local TRUST, TRUST_BYTES, TRUST_TTL_S = '<I4I4I2fff', 22, 15552000
local CHALLENGES, CHALLENGES_BYTES = '<I4I4I2I2', 12
local FIRST_FEED = 9
local CALL_TTL_S = 3600
local FANOUT_S = 3600
local FANOUT_MAX = 128
local COUNT_MAX = 65535

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
  for key = FIRST_FEED, #KEYS - 3 do
    local values = redis.pcall('HMGET', KEYS[key], unpack(fields))
    if values[1] then
      local entry = { key - FIRST_FEED, values[1], '', '' }
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
  local passed_at, failed = ask_challenges(KEYS[6], 86400)
  -- What lies ahead of the clock is nonsense.
  local days = passed_at > 0 and passed_at <= now + 60 and math.max(0, now - passed_at) / 86400 or 9999
  facts['caller.challenge_passed_days'] = { double = days }
  facts['caller.challenges_failed_1d'] = failed
  passed_at, failed = ask_challenges(KEYS[7], 3600)
  facts['trunk.challenges_failed_1h'] = failed
end

local function ask_house()
  facts['house.expecting_code'] = redis.call('EXISTS', KEYS[8]) == 1
end

local function ask_record(known)
  local stored = redis.pcall('GET', KEYS[2])
  local record
  if stored and #stored == RECORD_BYTES then
    record = { struct.unpack(RECORD, stored) }
  else
    record = { math.floor(now), 0 }
    for i = 3, 2 + 3 * #WINDOWS do record[i] = 0 end
  end
  local add = known and 0 or 1
  record[2] = record[2] + add
  for i, window in ipairs(WINDOWS) do
    local at, size = 3 * i, window[2]
    local bucket = math.floor(now / size)
    if bucket ~= record[at] then
      record[at + 2] = bucket == record[at] + 1 and record[at + 1] or 0
      record[at + 1] = 0
      record[at] = bucket
    end
    record[at + 1] = math.min(record[at + 1] + add, COUNT_MAX)
    -- Two buckets stand for a sliding window: the older one counts by the share still inside it.
    local inside = 1 - (now % size) / size
    facts[window[1]] = math.floor(record[at + 1] + record[at + 2] * inside + 0.5)
  end
  facts['caller.first_seen_days'] = { double = math.max(0, now - record[1]) / 86400 }
  facts['caller.is_new'] = record[2] <= 1
  if counting and not known then
    write('SET', KEYS[2], struct.pack(RECORD, unpack(record, 1, 2 + 3 * #WINDOWS)), 'EX', RECORD_TTL_S)
  end
end

local function ask_fanout(known)
  local since = now - FANOUT_S
  local dids = write('ZCOUNT', KEYS[3], since, '+inf')
  if refused then return end
  local last = redis.call('ZSCORE', KEYS[3], did)
  if type(last) == 'table' then last = last.double end
  if not last or tonumber(last) < since then dids = dids + 1 end
  facts['caller.dids_1h'] = math.min(dids, FANOUT_MAX)
  if counting and not known then
    write('ZADD', KEYS[3], now, did)
    write('ZREMRANGEBYSCORE', KEYS[3], '-inf', '(' .. since)
    if dids > FANOUT_MAX then write('ZREMRANGEBYRANK', KEYS[3], 0, -FANOUT_MAX - 1) end
    write('EXPIRE', KEYS[3], FANOUT_S)
  end
end

ask_lists()
ask_feeds()
ask_campaign()
ask_trust()
ask_reactions()
ask_house()
if ARGV[6] == '' then return { map = facts } end
local lists_only = {}
for name, value in pairs(facts) do lists_only[name] = value end

local known
if counting then
  known = not write('SET', KEYS[4], '1', 'NX', 'EX', CALL_TTL_S)
else
  known = redis.call('EXISTS', KEYS[4]) == 1
end
if not refused then
  ask_record(known)
  ask_fanout(known)
end
if refused then
  lists_only['missing'] = refused
  return { map = lists_only }
end
return { map = facts }
