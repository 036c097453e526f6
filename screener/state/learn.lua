-- One lesson about one caller.
--
-- KEYS 1 his record   2 his challenges, or those of all without a number on a trunk   3 the event that
--      teaches it (left out: it cannot come twice)
-- ARGV 1 Unix time instead of the server's, or ''   2 the half-life, days   3 good labels   4 the sum to
--      which they lift at most   5 bad labels   6 seconds of talk   7 '1' if we dialled him
--      8 'passed' or 'failed' if he was challenged   9 the window, s, in which failed ones are counted
--
-- Answers 1, or 0 for an event that has taught before. The record carries its half-life, so whoever
-- reads it needs no settings.

-- written at, dialled at, half-life (days), good, bad, talk (s). 22 bytes; as in observe.lua.
local RECORD, RECORD_BYTES = '<I4I4I2fff', 22
local TTL_S = 15552000
-- When one was passed; bucket, failed in it, failed in the one before. 12 bytes; as in observe.lua.
local CHALLENGES, CHALLENGES_BYTES = '<I4I4I2I2', 12
local CHALLENGES_TTL_S = 7776000
local COUNT_MAX = 65535
local EVENT_TTL_S = 86400
local GOOD_MAX, BAD_MAX, TALK_MAX_S = 20, 20, 36000

redis.setresp(3)

local now = tonumber(ARGV[1])
if not now then
  now = tonumber(redis.call('TIME')[1])
end
now = math.floor(now)

if KEYS[3] and not redis.call('SET', KEYS[3], '1', 'NX', 'EX', EVENT_TTL_S) then return 0 end

local function note_challenge(result, window_s)
  local passed_at, bucket, failed, before = 0, math.floor(now / window_s), 0, 0
  local stored = redis.call('GET', KEYS[2])
  if stored and #stored == CHALLENGES_BYTES then
    local at
    passed_at, at, failed, before = struct.unpack(CHALLENGES, stored)
    if at ~= bucket then
      before = bucket == at + 1 and failed or 0
      failed = 0
    end
  end
  if result == 'passed' then
    passed_at, failed, before = now, 0, 0
  else
    failed = math.min(failed + 1, COUNT_MAX)
  end
  redis.call('SET', KEYS[2], struct.pack(CHALLENGES, passed_at, bucket, failed, before), 'EX', CHALLENGES_TTL_S)
end

if ARGV[8] ~= '' then note_challenge(ARGV[8], tonumber(ARGV[9])) end
-- Who taught nothing else takes no room.
if tonumber(ARGV[3]) == 0 and tonumber(ARGV[5]) == 0 and tonumber(ARGV[6]) == 0 and ARGV[7] ~= '1' then
  return 1
end

local at, dialled_at, half_life, good, bad, talk = now, 0, 1, 0, 0, 0
local stored = redis.pcall('GET', KEYS[1])
if stored and #stored == RECORD_BYTES then
  at, dialled_at, half_life, good, bad, talk = struct.unpack(RECORD, stored)
  if now - at >= TTL_S then dialled_at, good, bad, talk = 0, 0, 0, 0 end
end
local left = half_life > 0 and 0.5 ^ (math.max(0, now - at) / 86400 / half_life) or 0

-- What is left of a sum, and more; a cap that the sum has outgrown already takes nothing away.
local function added(sum, more, most, up_to)
  sum = sum * left
  sum = sum >= 0 and math.min(sum, most) or 0
  return math.max(sum, math.min(sum + tonumber(more), up_to, most))
end

good = added(good, ARGV[3], GOOD_MAX, tonumber(ARGV[4]))
bad = added(bad, ARGV[5], BAD_MAX, BAD_MAX)
talk = added(talk, ARGV[6], TALK_MAX_S, TALK_MAX_S)
if ARGV[7] == '1' then dialled_at = math.max(dialled_at, now) end
local record = struct.pack(RECORD, math.max(at, now), dialled_at, tonumber(ARGV[2]), good, bad, talk)
redis.call('SET', KEYS[1], record, 'EX', TTL_S)
return 1
