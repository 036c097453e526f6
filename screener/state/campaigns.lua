-- One recording was heard: it is counted for its campaign, a new one if no campaign is named.
--
-- KEYS 1 the campaigns (hash, fields `ID:calls` …)   2 their prints (hash)   3 when to forget them (sorted set)
--      4 who spoke them (sorted set of `ID NUMBER`)   5 the last id   6 what this caller spoke   7 what his block spoke
-- ARGV 1 the id, '' for a new one   2 the print   3 the caller, '' if withheld   4 his block, ''
--      5 Unix time instead of the server's, or '': a screener whose clock is ahead must make none be forgotten
--      6 how long a campaign is kept (s)   7 how long one that a single number spoke is (s)   8 how many   9 how many callers
--
-- Answers with the id. A campaign with a name or a verdict is never forgotten: it is not in the sorted set.

local id, caller, block = ARGV[1], ARGV[3], ARGV[4]
local now = math.floor(tonumber(ARGV[5]) or tonumber(redis.call('TIME')[1]))

local function drop(gone)
  for _, field in ipairs({ 'calls', 'callers', 'blocks', 'first', 'last', 'name', 'verdict' }) do
    redis.call('HDEL', KEYS[1], gone .. ':' .. field)
  end
  redis.call('HDEL', KEYS[2], gone)
  redis.call('ZREM', KEYS[3], gone)
  redis.call('ZREMRANGEBYLEX', KEYS[4], '[' .. gone .. ' ', '(' .. gone .. '!')
end

-- It may have been forgotten while it was compared.
if id == '' or redis.call('HEXISTS', KEYS[2], id) == 0 then
  id = tostring(redis.call('INCR', KEYS[5]))
  redis.call('HSET', KEYS[2], id, ARGV[2])
  redis.call('HSET', KEYS[1], id .. ':first', now)
end
redis.call('HINCRBY', KEYS[1], id .. ':calls', 1)
redis.call('HSET', KEYS[1], id .. ':last', now)

-- Withheld numbers count as one.
local from, to = '[' .. id .. ' ', '(' .. id .. '!'
if redis.call('ZLEXCOUNT', KEYS[4], from, to) < tonumber(ARGV[9]) then
  redis.call('ZADD', KEYS[4], 0, id .. ' ' .. (caller == '' and 'withheld' or caller))
end
local callers, blocks, seen = redis.call('ZRANGEBYLEX', KEYS[4], from, to), 0, {}
for _, member in ipairs(callers) do
  local of = string.sub(member, #id + 2, -5)
  if not seen[of] then blocks, seen[of] = blocks + 1, true end
end
redis.call('HSET', KEYS[1], id .. ':callers', #callers, id .. ':blocks', blocks)

local keep_s = tonumber(#callers > 1 and ARGV[6] or ARGV[7])
if redis.call('HEXISTS', KEYS[1], id .. ':name') + redis.call('HEXISTS', KEYS[1], id .. ':verdict') == 0 then
  redis.call('ZADD', KEYS[3], now + keep_s, id)
end

-- What counts against a caller is not shaken off by playing something else, least of all a harmless announcement.
local function suspicious(one)
  local verdict = redis.call('HGET', KEYS[1], one .. ':verdict')
  return verdict == 'robocall'
    or verdict ~= 'harmless' and tonumber(redis.call('HGET', KEYS[1], one .. ':callers') or 0) > 1
end
local function spoke(key)
  local before = redis.call('GET', key)
  if not before or suspicious(id) or not suspicious(before) then redis.call('SET', key, id, 'EX', ARGV[6]) end
end
if caller ~= '' then spoke(KEYS[6]) end
if block ~= '' and redis.call('ZLEXCOUNT', KEYS[4], from .. block, '(' .. id .. ' ' .. block .. ':') > 1 then
  spoke(KEYS[7])
end

for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '(' .. now, 'LIMIT', 0, 100)) do drop(gone) end
while redis.call('ZCARD', KEYS[3]) > tonumber(ARGV[8]) do
  drop(redis.call('ZRANGE', KEYS[3], 0, 0)[1])
end
return id
