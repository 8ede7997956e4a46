import { ENTRIES_MAX } from '../queue.ts'
import { Script } from './script.ts'

/**
 * A lock has one key, in one of two forms.
 *
 * **Alone**: a string, `token mode limit ttl arrived channel holder`, whose expiry is the lease. It is what acquire and
 * release of a lock that nobody else wants read and write, so it has to be cheap: a counter, and SET NX. `arrived` is `-`
 * until the first renewal, which knows it from what is left of the first lease.
 *
 * **A queue**, from the second request on: a list in the order of arrival, of `until token mode limit ttl arrived channel
 * holder`, which lives as long as its longest lease. Times are on Redis's own clock in milliseconds, the channel is that on
 * which its process listens, and the holder has no spaces. For exclusive locks, the common case, the head alone is taken
 * apart: an entry behind another never holds, and those that have ended are dropped when they come to the head. The other
 * modes take apart and write the whole queue.
 */
const ALONE = `
-- A queue is no string, and asking for one is then an error.
local function alone_of(key)
  local text = redis.pcall('GET', key)
  if type(text) ~= 'table' then return text end
end
local function is_of(text, holder)
  return string.sub(text, -#holder - 1) == ' ' .. holder
end
local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
-- Who is alone, what is left of the lease, and the entry with the time of arrival.
local function described(key, text, now)
  local left = redis.call('PTTL', key)
  local head, ttl, arrived, tail = string.match(text, '^(%d+ %a+ %d+ (%d+) )(%S+)( .*)$')
  if arrived == '-' then arrived = string.format('%.0f', now - (tonumber(ttl) - left)) end
  return head .. arrived .. tail, left
end
`
const SHARED = `
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
 * KEYS: lock, counter. ARGV: ` mode limit ttl - channel holder`, ttl, and `try` for who does not wait. Gives the token of a
 * lock that was free, or {kind, ahead, token, now, when to look: the end of who has to go first}.
 *
 * One counter serves all names, so nothing is left behind by a name that is used once; numbers that are drawn in vain do not
 * matter. One that is missing (new, or lost with its data) starts with the time of day in microseconds, so that tokens
 * after a loss of everything are higher still. All of a script is one step.
 */
export const ASK = new Script(
  `local token = redis.call('INCR', KEYS[2])
if token == 1 then
  local t = redis.call('TIME')
  token = t[1] * 1000000 + t[2]
  redis.call('SET', KEYS[2], string.format('%.0f', token))
end
if redis.call('SET', KEYS[1], string.format('%.0f', token) .. ARGV[1], 'NX', 'PX', ARGV[2]) then return token end
local number = token
token = string.format('%.0f', token)
${ALONE}
${SHARED}
local key, ttl, now, waits = KEYS[1], tonumber(ARGV[2]), clock(), ARGV[3] == nil
local mode, limit_text, channel, holder = string.match(ARGV[1], '^ (%a+) (%d+) %d+ %- (%S+) (.*)$')
local limit = tonumber(limit_text)
local function join()
  redis.call('RPUSH', key, string.format('%.0f %s %s %d %s %.0f %s ', now + ttl, token, mode, limit, ARGV[2], now, channel) .. holder)
end
local text = alone_of(key)
if text and not waits and mode == 'exclusive' and not is_of(text, holder) then return {'refused'} end
if text then
  local entry, left = described(key, text, now)
  redis.call('DEL', key)
  redis.call('RPUSH', key, string.format('%.0f ', now + left) .. entry)
  redis.call('PEXPIRE', key, left)
end
-- Drivers send again what was lost with its connection, so the holder may be in the queue already.
local function is_new()
  for _, text in ipairs(redis.call('LRANGE', key, 0, -1)) do
    if is_of(text, holder) then return false end
  end
  return true
end
if mode == 'exclusive' and is_new() then
  local head = head_of(key, now)
  if not head then
    join()
    redis.call('PEXPIRE', key, ttl)
    return number
  end
  if not waits then return {'refused'} end
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
  if e.holder == holder then mine = i e.till = now + ttl end
end
if not mine then
  if waits then
    if #queue >= ${ENTRIES_MAX} then return {'full'} end
  else
    if #queue >= limit then return {'refused'} end
    for _, e in ipairs(queue) do if e.mode ~= mode then return {'refused'} end end
  end
  mine = #queue + 1
  queue[mine] = {till = now + ttl, token = token, mode = mode, limit = limit, ttl = ttl,
    arrived = string.format('%.0f', now), channel = channel, holder = holder}
end
write(key, queue, now)
if holds(queue, mine) then return {'held', mine - 1, queue[mine].token, now} end
local first = queue[1].till
for i = 1, mine - 1 do if queue[i].till < first then first = queue[i].till end end
return {'waiting', mine - 1, queue[mine].token, now, first}
`,
  2,
)

/** KEYS: lock. ARGV: holder, ttl. Gives 1, or 0 when the entry has ended. */
export const RENEW = new Script(
  `${ALONE}
local now, ttl = clock(), tonumber(ARGV[2])
local text = alone_of(KEYS[1])
if text == false then return 0 end
if text then
  if not is_of(text, ARGV[1]) then return 0 end
  redis.call('SET', KEYS[1], (described(KEYS[1], text, now)), 'PX', ttl)
  return 1
end
${SHARED}
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
 * KEYS: lock. ARGV: `channel prefix-of-channels`, holders… Removes their entries, and hands the lock to those who hold it
 * now: their lease begins, and the message `now token holder` on their channel is the grant. Those who listen on the
 * caller's own channel are told by the answer instead. Gives how many were removed, or {how many, grants…}.
 */
export const REMOVE = new Script(
  `-- Alone, before anything is defined: a function costs as much as the command.
local key, text = KEYS[1], redis.pcall('GET', KEYS[1])
if type(text) ~= 'table' then
  for i = 2, text and #ARGV or 0 do
    if string.sub(text, -#ARGV[i] - 1) == ' ' .. ARGV[i] then return redis.call('DEL', key) end
  end
  return 0
end
${ALONE}
${SHARED}
local first = redis.call('LRANGE', key, 0, 1)
-- nobody else: the key would have ended with the lease
if #first == 1 and #ARGV == 2 and is_of(first[1], ARGV[2]) then return redis.call('DEL', key) end
local channel, channels = string.match(ARGV[1], '^(%S+) (.*)$')
local now, answer = clock(), {0}
local function grant(e)
  e.till = now + e.ttl
  local text = string.format('%.0f %s ', now, e.token) .. e.holder
  if e.channel == channel then answer[#answer + 1] = text
  else redis.call('PUBLISH', channels .. e.channel, text) end
end
local head = unpack_entry(first[1])
if #ARGV == 2 and head.mode == 'exclusive' and head.holder == ARGV[2] then
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
for i = 2, #ARGV do gone[ARGV[i]] = true end
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

/** KEYS: lock. Gives {now, entries…}, in the form of a queue also for who is alone. */
export const READ = new Script(
  `${ALONE}
local key, now = KEYS[1], clock()
local text = alone_of(key)
if text == nil then return {now, unpack(redis.call('LRANGE', key, 0, -1))} end
if not text then return {now} end
local entry, left = described(key, text, now)
return {now, string.format('%.0f ', now + left) .. entry}
`,
  1,
)
