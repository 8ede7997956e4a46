import { ENTRIES_MAX } from '../queue.ts'
import { Script } from './script.ts'

/**
 * A queue is one string. Of one entry alone: `mode limit token ttl holder`, whose lease is the key's own time to
 * live, so that the common case costs no decoding and no clock. Of several: JSON `[[holder, mode, limit, token, until, ttl,
 * arrived], …]` on Redis's own clock in milliseconds; tokens are text, since cjson writes numbers with 14 digits.
 */
const SHARED = `
local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local function read(key, now)
  local raw = redis.call('GET', key)
  local queue = {}
  if not raw then return queue end
  if string.byte(raw) ~= 91 then
    local mode, limit, token, ttl, holder = string.match(raw, '^(%a+) (%d+) (%d+) (%d+) (.*)$')
    ttl = tonumber(ttl)
    local left = redis.call('PTTL', key)
    queue[1] = {holder, mode, tonumber(limit), token, now + left, ttl, now + left - ttl}
    return queue
  end
  for _, e in ipairs(cjson.decode(raw)) do
    if e[5] > now then queue[#queue + 1] = e end
  end
  return queue
end
local function write(key, queue, now)
  if #queue == 0 then redis.call('DEL', key) return end
  local last = now
  for _, e in ipairs(queue) do if e[5] > last then last = e[5] end end
  redis.call('SET', key, cjson.encode(queue), 'PX', last - now)
end
-- The rule of src/lock/queue.ts: all before it have its mode, and are fewer than its limit.
local function holds(queue, i)
  if i > queue[i][3] then return false end
  for k = 1, i - 1 do if queue[k][2] ~= queue[i][2] then return false end end
  return true
end
`

/**
 * KEYS: queue, counter. ARGV: holder, "mode limit ", ttl, wait. Gives the token of a lock that was free, or
 * {kind, ahead, token, now, end of the first before}.
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
token = string.format('%.0f', token)
if redis.call('SET', KEYS[1], ARGV[2] .. token .. ' ' .. ARGV[3] .. ' ' .. ARGV[1], 'NX', 'PX', ARGV[3]) then return token end
${SHARED}
local now = clock()
local holder, mode, limit, ttl = ARGV[1], string.match(ARGV[2], '%a+'), tonumber(string.match(ARGV[2], '%d+')), tonumber(ARGV[3])
local queue = read(KEYS[1], now)
local mine
for i, e in ipairs(queue) do
  if e[1] == holder then mine = i e[5] = now + ttl end
end
if not mine then
  if ARGV[4] == '1' then
    if #queue >= ${ENTRIES_MAX} then return {'full'} end
  else
    if #queue >= limit then return {'refused'} end
    for _, e in ipairs(queue) do if e[2] ~= mode then return {'refused'} end end
  end
  mine = #queue + 1
  queue[mine] = {holder, mode, limit, token, now + ttl, ttl, now}
end
write(KEYS[1], queue, now)
if holds(queue, mine) then return {'held', mine - 1, queue[mine][4], now} end
local first = queue[1][5]
for i = 1, mine - 1 do if queue[i][5] < first then first = queue[i][5] end end
return {'waiting', mine - 1, queue[mine][4], now, first}
`,
  2,
)

/** KEYS: queue. ARGV: holder, ttl. Gives 1, or 0 when the entry has ended. */
export const RENEW = new Script(
  `${SHARED}
local now = clock()
local queue = read(KEYS[1], now)
for _, e in ipairs(queue) do
  if e[1] == ARGV[1] then
    e[5] = now + tonumber(ARGV[2])
    write(KEYS[1], queue, now)
    return 1
  end
end
return 0
`,
  1,
)

/**
 * KEYS: queue. ARGV: channel, name, holders… Removes their entries, and hands the lock to those who hold it now: their
 * lease begins, and the message is the grant. Gives how many were removed.
 */
export const REMOVE = new Script(
  `local raw = redis.call('GET', KEYS[1])
if not raw then return 0 end
if #ARGV == 3 and string.byte(raw) ~= 91 then
  if string.match(raw, '^%a+ %d+ %d+ %d+ (.*)$') == ARGV[3] then return redis.call('DEL', KEYS[1]) end
  return 0
end
${SHARED}
local now = clock()
local queue = read(KEYS[1], now)
local gone = {}
for i = 3, #ARGV do gone[ARGV[i]] = true end
local left, held, removed = {}, {}, 0
for i, e in ipairs(queue) do
  if gone[e[1]] then removed = removed + 1
  else
    left[#left + 1] = e
    held[#left] = holds(queue, i)
  end
end
if removed == 0 then return 0 end
local grants = {}
for i, e in ipairs(left) do
  if not held[i] and holds(left, i) then
    e[5] = now + e[6]
    grants[#grants + 1] = {e[1], e[4]}
  end
end
write(KEYS[1], left, now)
if #grants > 0 then redis.call('PUBLISH', ARGV[1], cjson.encode({ARGV[2], now, grants})) end
return removed
`,
  1,
)
