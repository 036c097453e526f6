-- How a call of this caller ended, and that it is up no more.
--
-- KEYS 1 his record   2 the call   3 his calls that are up   4 the DIDs he let ring for a moment
-- ARGV 1 Unix time instead of the server's, or ''   2 the DID   3 this call among those that are up
--      4 '1' if nobody of ours talked with him   5 '1' if he gave up after a short ring   6 '1' if something
--      of ours answered   7 '1' if he left at once after that   8 '1' if one of us left him soon
--
-- Answers 1, or 0 for an end that was told before. What is counted is asked by observe.lua.

-- In the record of observe.lua, from byte 40 on: day, unanswered in it and in the day before, short rings
-- likewise; week, answered in it and in the one before, left at once and cut short likewise.
local ENDS, ENDS_AT, ENDS_BYTES, RECORD_BYTES = '<I4I2I2I2I2I4I2I2I2I2I2I2', 40, 28, 96
local DAY_S, WEEK_S = 86400, 604800
local RECORD_TTL_S, CALL_TTL_S = 691200, 3600
local SET_MAX, COUNT_MAX = 128, 65535

redis.setresp(3)

local now = tonumber(ARGV[1])
if not now then
  now = tonumber(redis.call('TIME')[1])
end

local call = redis.call('GET', KEYS[2])
if call == '0' or call == '2' then return 0 end
redis.call('SET', KEYS[2], call and '2' or '0', 'EX', CALL_TTL_S)
redis.call('ZREM', KEYS[3], ARGV[3])

if redis.call('STRLEN', KEYS[1]) ~= RECORD_BYTES then
  redis.call('SET', KEYS[1], string.rep('\0', RECORD_BYTES), 'EX', RECORD_TTL_S)
end
local ends = { struct.unpack(ENDS, redis.call('GETRANGE', KEYS[1], ENDS_AT, ENDS_AT + ENDS_BYTES - 1)) }

local function add(at, size, ...)
  local bucket = math.floor(now / size)
  for pair, more in ipairs({ ... }) do
    local this = at + 2 * pair - 1
    if bucket ~= ends[at] then
      ends[this + 1] = bucket == ends[at] + 1 and ends[this] or 0
      ends[this] = 0
    end
    if more == '1' then ends[this] = math.min(ends[this] + 1, COUNT_MAX) end
  end
  ends[at] = bucket
end

add(1, DAY_S, ARGV[4], ARGV[5])
add(6, WEEK_S, ARGV[6], ARGV[7], ARGV[8])
redis.call('SETRANGE', KEYS[1], ENDS_AT, struct.pack(ENDS, unpack(ends, 1, 12)))

if ARGV[5] == '1' then
  redis.call('ZADD', KEYS[4], now, ARGV[2])
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', '(' .. now - DAY_S)
  redis.call('ZREMRANGEBYRANK', KEYS[4], 0, -SET_MAX - 1)
  redis.call('EXPIRE', KEYS[4], DAY_S)
end
return 1
