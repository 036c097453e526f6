-- One lesson about one caller.
--
-- KEYS 1 his record   2 the event that teaches it (left out: it cannot come twice)
-- ARGV 1 Unix time instead of the server's, or ''   2 the half-life, days   3 good labels   4 the sum to
--      which they lift at most   5 bad labels   6 seconds of talk   7 '1' if we dialled him
--
-- Answers 1, or 0 for an event that has taught before. The record carries its half-life, so whoever
-- reads it needs no settings.

-- written at, dialled at, half-life (days), good, bad, talk (s). 22 bytes; as in observe.lua.
local RECORD, RECORD_BYTES = '<I4I4I2fff', 22
local TTL_S = 15552000
local EVENT_TTL_S = 86400
local GOOD_MAX, BAD_MAX, TALK_MAX_S = 20, 20, 36000

redis.setresp(3)

local now = tonumber(ARGV[1])
if not now then
  now = tonumber(redis.call('TIME')[1])
end
now = math.floor(now)

if KEYS[2] and not redis.call('SET', KEYS[2], '1', 'NX', 'EX', EVENT_TTL_S) then return 0 end

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
