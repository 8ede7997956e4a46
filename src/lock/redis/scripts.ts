import { ENTRIES_MAX } from '../queue.ts'
import { Script } from './script.ts'

/**
 * A queue is one list in the order of arrival. An entry is `until token mode limit ttl arrived channel holder`: times on
 * Redis's own clock in milliseconds, the channel on which its process listens, and the holder last, since it may hold
 * spaces. The key lives as long as its longest lease.
 *
 * For exclusive locks, the common case, the head alone is taken apart: an entry behind another never holds, and those
 * that have ended are dropped when they come to the head. The other modes take apart and write the whole queue.
 */
const SHARED = `
local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local function unpack_entry(text)
  local till, token, mode, limit, ttl, arrived, channel, holder =
    string.match(text, '^(%d+) (%d+) (%a+) (%d+) (%d+) (%d+) (%S+) (.*)$')
  return {till = tonumber(till), token = token, mode = mode, limit = tonumber(limit), ttl = tonumber(ttl),
    arrived = arrived, channel = channel, holder = holder}
end
local function pack_entry(e)
  return string.format('%.0f %s %s %d %d %s %s ', e.till, e.token, e.mode, e.limit, e.ttl, e.arrived, e.channel) .. e.holder
end
local function live(key, ttl)
  if redis.call('PTTL', key) < ttl then redis.call('PEXPIRE', key, ttl) end
end
-- The head, once those that have ended are gone; nil when nobody is left.
local function head_of(key, now)
  local text = redis.call('LINDEX', key, 0)
  while text do
    local e = unpack_entry(text)
    if e.till > now then return e end
    redis.call('LPOP', key)
    text = redis.call('LINDEX', key, 0)
  end
end
local function read(key, now)
  local queue = {}
  for _, text in ipairs(redis.call('LRANGE', key, 0, -1)) do
    local e = unpack_entry(text)
    if e.till > now then queue[#queue + 1] = e end
  end
  return queue
end
local function write(key, queue, now)
  redis.call('DEL', key)
  local last = now
  for _, e in ipairs(queue) do
    redis.call('RPUSH', key, pack_entry(e))
    if e.till > last then last = e.till end
  end
  if #queue > 0 then redis.call('PEXPIRE', key, last - now) end
end
-- The rule of src/lock/queue.ts: all before it have its mode, and are fewer than its limit.
local function holds(queue, i)
  if i > queue[i].limit then return false end
  for k = 1, i - 1 do if queue[k].mode ~= queue[i].mode then return false end end
  return true
end
`

/**
 * KEYS: queue, counter. ARGV: holder, mode, limit, ttl, wait, channel. Gives the token of a lock that was free, or {kind, ahead, token, now, when to look: the end of who has to go first}.
 *
 * One counter serves all names, so nothing is left behind by a name that is used once; numbers that are drawn in vain do not
 * matter. One that is missing (new, or lost with its data) starts with the time of day in microseconds, so that tokens
 * after a loss of everything are higher still. All of a script is one step.
 */
export const ASK = new Script(
  `local key, ttl = KEYS[1], tonumber(ARGV[4])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local token = redis.call('INCR', KEYS[2])
if token == 1 then
  token = t[1] * 1000000 + t[2]
  redis.call('SET', KEYS[2], string.format('%.0f', token))
end
token = string.format('%.0f', token)
local function join()
  redis.call('RPUSH', key, string.format('%.0f %s %s %s %s %.0f %s ', now + ttl, token, ARGV[2], ARGV[3], ARGV[4], now, ARGV[6]) .. ARGV[1])
end
if redis.call('EXISTS', key) == 0 then
  join()
  redis.call('PEXPIRE', key, ttl)
  return token
end
${SHARED}
-- Drivers send again what was lost with its connection, so the holder may be in the queue already.
local function is_new()
  local suffix = ' ' .. ARGV[1]
  for _, text in ipairs(redis.call('LRANGE', key, 0, -1)) do
    if string.sub(text, -#suffix) == suffix then return false end
  end
  return true
end
if ARGV[2] == 'exclusive' and is_new() then
  local head = head_of(key, now)
  if not head then
    join()
    redis.call('PEXPIRE', key, ttl)
    return token
  end
  if ARGV[5] == '0' then return {'refused'} end
  local ahead = redis.call('LLEN', key)
  if ahead < ${ENTRIES_MAX} then
    join()
    live(key, ttl)
    return {'waiting', ahead, token, now, head.till}
  end
end
local queue = read(key, now)
local mine
for i, e in ipairs(queue) do
  if e.holder == ARGV[1] then mine = i e.till = now + ttl end
end
if not mine then
  local limit = tonumber(ARGV[3])
  if ARGV[5] == '1' then
    if #queue >= ${ENTRIES_MAX} then return {'full'} end
  else
    if #queue >= limit then return {'refused'} end
    for _, e in ipairs(queue) do if e.mode ~= ARGV[2] then return {'refused'} end end
  end
  mine = #queue + 1
  queue[mine] = {till = now + ttl, token = token, mode = ARGV[2], limit = limit, ttl = ttl,
    arrived = string.format('%.0f', now), channel = ARGV[6], holder = ARGV[1]}
end
write(key, queue, now)
if holds(queue, mine) then return {'held', mine - 1, queue[mine].token, now} end
local first = queue[1].till
for i = 1, mine - 1 do if queue[i].till < first then first = queue[i].till end end
return {'waiting', mine - 1, queue[mine].token, now, first}
`,
  2,
)

/** KEYS: queue. ARGV: holder, ttl. Gives 1, or 0 when the entry has ended. */
export const RENEW = new Script(
  `${SHARED}
local now, ttl = clock(), tonumber(ARGV[2])
for i, text in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local e = unpack_entry(text)
  if e.holder == ARGV[1] then
    if e.till <= now then return 0 end
    e.till = now + ttl
    redis.call('LSET', KEYS[1], i - 1, pack_entry(e))
    live(KEYS[1], ttl)
    return 1
  end
end
return 0
`,
  1,
)

/**
 * KEYS: queue. ARGV: channel, prefix of channels, holders… Removes their entries, and hands the lock to those who hold it
 * now: their lease begins, and the message `now token holder` on their channel is the grant. Those who listen on the
 * caller's own channel are told by the answer instead. Gives {how many were removed, grants…}.
 */
export const REMOVE = new Script(
  `local key = KEYS[1]
local first = redis.call('LRANGE', key, 0, 1)
if #first == 0 then return {0} end
-- nobody else: the key would have ended with the lease
if #first == 1 and #ARGV == 3 and string.sub(first[1], -#ARGV[3] - 1) == ' ' .. ARGV[3] then
  return {redis.call('DEL', key)}
end
${SHARED}
local now, answer = clock(), {0}
local function grant(e)
  e.till = now + e.ttl
  local text = string.format('%.0f %s ', now, e.token) .. e.holder
  if e.channel == ARGV[1] then answer[#answer + 1] = text
  else redis.call('PUBLISH', ARGV[2] .. e.channel, text) end
end
local head = unpack_entry(first[1])
if #ARGV == 3 and head.mode == 'exclusive' and head.holder == ARGV[3] then
  redis.call('LPOP', key)
  if head.till > now then answer[1] = 1 end
  head = head_of(key, now)
  if not head then return answer end
  if head.mode == 'exclusive' then
    grant(head)
    redis.call('LSET', key, 0, pack_entry(head))
    live(key, head.ttl)
    return answer
  end
  local queue = read(key, now)
  for i, e in ipairs(queue) do if holds(queue, i) then grant(e) end end
  write(key, queue, now)
  return answer
end
local gone = {}
for i = 3, #ARGV do gone[ARGV[i]] = true end
local queue, left, held = read(key, now), {}, {}
for i, e in ipairs(queue) do
  if gone[e.holder] then answer[1] = answer[1] + 1
  else
    left[#left + 1] = e
    held[#left] = holds(queue, i)
  end
end
for i, e in ipairs(left) do if not held[i] and holds(left, i) then grant(e) end end
write(key, left, now)
return answer
`,
  1,
)
