/**
 * The transitions of a job, as Lua: each runs in Redis as one step, so that no two processes see half of one.
 * ARGV[1] of every script is KEY_BASE (`keys.ts` lists the keys). '' stands for null.
 *
 * States: queued → active → completed | failed | canceled; active → queued (requeue, abandoned);
 * queued → canceled; failed | canceled → queued (retry). `attempt` grows with each start and fences:
 * report, requeue and finish of an older attempt change nothing and return 0.
 * Every script may be sent twice (ioredis repeats a command whose reply was lost): the second run
 * finds its work done and answers as the first did.
 */

const PRELUDE = `
local base = ARGV[1]
local clock = redis.call('TIME')
-- %.0f: Lua would print a number this large as 1.7e+12
local now = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
local function jobKey(id) return base .. 'job:' .. id end
local function isEnded(state) return state == 'completed' or state == 'failed' or state == 'canceled' end

-- Puts a job into another state: record, indices, counters.
local function move(id, pool, from, to)
  redis.call('HSET', jobKey(id), 'state', to)
  if from == to then return end
  redis.call('ZREM', base .. 'jobs:state:' .. from, id)
  redis.call('ZADD', base .. 'jobs:state:' .. to, 0, id)
  redis.call('HINCRBY', base .. 'jobs:counts', pool .. '|' .. from, -1)
  redis.call('HINCRBY', base .. 'jobs:counts', pool .. '|' .. to, 1)
  if isEnded(to) then
    redis.call('ZADD', base .. 'jobs:ended', now, id)
    redis.call('ZREM', base .. 'outbox', id)
    redis.call('HSET', jobKey(id), 'endedAt', now, 'phase', '')
  elseif isEnded(from) then
    redis.call('ZREM', base .. 'jobs:ended', id)
  end
end

-- Tells watchers that there is a new version.
local function announce(id)
  local version = redis.call('HINCRBY', jobKey(id), 'version', 1)
  redis.call('PUBLISH', base .. 'change:' .. id, version)
end

local function cancelNow(id, pool, from)
  move(id, pool, from, 'canceled')
  redis.call('HSET', jobKey(id), 'cancelRequested', '1', 'error', '')
  announce(id)
end

-- An active job lost its node. True: for the last time, it has failed.
local function abandoned(id, pool, limit, message)
  if redis.call('HINCRBY', jobKey(id), 'abandoned', 1) <= tonumber(limit) then return false end
  move(id, pool, 'active', 'failed')
  redis.call('HSET', jobKey(id), 'error', message)
  announce(id)
  return true
end
`;

// ARGV: 2 id, 3 kind, 4 pool, 5 batch, 6 request, 7 priority, 8 sha256 of the Idempotency-Key, 9 sha256 of the body
// → { 'created' | 'replayed' | 'conflict', id, kind, state }
const create = `
local id, kind, pool, batch, idem, body = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[8], ARGV[9]
local idemKey = base .. 'idem:' .. idem
if idem ~= '' then
  local known = redis.call('HMGET', idemKey, 'id', 'body', 'kind', 'state')
  if known[1] and known[1] ~= id then
    local state = redis.call('HGET', jobKey(known[1]), 'state') or known[4]
    return { known[2] == body and 'replayed' or 'conflict', known[1], known[3], state }
  end
end
if redis.call('EXISTS', jobKey(id)) == 1 then
  return { 'created', id, kind, redis.call('HGET', jobKey(id), 'state') }
end
redis.call('HSET', jobKey(id), 'id', id, 'kind', kind, 'pool', pool, 'batch', batch, 'request', ARGV[6],
  'priority', ARGV[7], 'idem', idem, 'state', 'queued', 'phase', '', 'progress', '', 'result', '', 'error', '',
  'attempt', 0, 'abandoned', 0, 'node', '', 'cancelRequested', '0', 'createdAt', now, 'startedAt', '', 'endedAt', '',
  'version', 1)
redis.call('ZADD', base .. 'jobs:all', 0, id)
redis.call('ZADD', base .. 'jobs:state:queued', 0, id)
redis.call('ZADD', base .. 'jobs:kind:' .. kind, 0, id)
redis.call('ZADD', base .. 'jobs:pool:' .. pool, 0, id)
if batch ~= '' then redis.call('ZADD', base .. 'jobs:batch:' .. batch, 0, id) end
redis.call('HINCRBY', base .. 'jobs:counts', pool .. '|queued', 1)
redis.call('ZADD', base .. 'outbox', now, id)
-- No expiry while the job is kept; trim sets one.
if idem ~= '' then redis.call('HSET', idemKey, 'id', id, 'body', body, 'kind', kind, 'state', 'queued') end
return { 'created', id, kind, 'queued' }
`;

// ARGV: 2 sha256 of the Idempotency-Key, 3 sha256 of the body → as create, or { 'unknown' }
const replay = `
local known = redis.call('HMGET', base .. 'idem:' .. ARGV[2], 'id', 'body', 'kind', 'state')
if not known[1] then return { 'unknown' } end
local state = redis.call('HGET', jobKey(known[1]), 'state') or known[4]
return { known[2] == ARGV[3] and 'replayed' or 'conflict', known[1], known[3], state }
`;

// ARGV: 2 id, 3 node, 4 how often a job may lose its node, 5 error for when it does more often
// → the record as key, value, …; empty when there is nothing to do
const start = `
local id = ARGV[2]
local job = redis.call('HMGET', jobKey(id), 'state', 'pool', 'cancelRequested', 'startedAt')
local state = job[1]
if state ~= 'queued' and state ~= 'active' then return {} end
if job[3] == '1' then
  cancelNow(id, job[2], state)
  return {}
end
-- Still active: the node that had it is gone.
if state == 'active' and abandoned(id, job[2], ARGV[4], ARGV[5]) then return {} end
move(id, job[2], state, 'active')
redis.call('HINCRBY', jobKey(id), 'attempt', 1)
redis.call('HSET', jobKey(id), 'phase', 'opening', 'node', ARGV[3], 'progress', '', 'error', '')
if job[4] == '' then redis.call('HSET', jobKey(id), 'startedAt', now) end
-- It came through BullMQ, so BullMQ knows it.
redis.call('ZREM', base .. 'outbox', id)
announce(id)
return redis.call('HGETALL', jobKey(id))
`;

// ARGV: 2 id, 3 attempt, 4 phase, 5 progress ('': as it was) → 1, or 0 when this attempt does not own the job
const report = `
local id = ARGV[2]
local job = redis.call('HMGET', jobKey(id), 'state', 'attempt')
if job[1] ~= 'active' or job[2] ~= ARGV[3] then return 0 end
redis.call('HSET', jobKey(id), 'phase', ARGV[4])
if ARGV[5] ~= '' then redis.call('HSET', jobKey(id), 'progress', ARGV[5]) end
announce(id)
return 1
`;

// ARGV: 2 id, 3 attempt, 4 error → 1, or 0 when this attempt does not own the job
const requeue = `
local id = ARGV[2]
local job = redis.call('HMGET', jobKey(id), 'state', 'attempt', 'pool', 'cancelRequested')
if job[2] ~= ARGV[3] then return 0 end
if job[1] == 'queued' or (job[1] == 'canceled' and job[4] == '1') then return 1 end
if job[1] ~= 'active' then return 0 end
if job[4] == '1' then
  cancelNow(id, job[3], 'active')
  return 1
end
move(id, job[3], 'active', 'queued')
redis.call('HSET', jobKey(id), 'phase', '', 'error', ARGV[4])
announce(id)
return 1
`;

// ARGV: 2 id, 3 attempt, 4 state, 5 result, 6 error → 1, or 0 when this attempt does not own the job
const finish = `
local id, to = ARGV[2], ARGV[4]
local job = redis.call('HMGET', jobKey(id), 'state', 'attempt', 'pool')
if job[2] ~= ARGV[3] then return 0 end
if job[1] == to then return 1 end
if job[1] ~= 'active' then return 0 end
move(id, job[3], 'active', to)
redis.call('HSET', jobKey(id), 'result', ARGV[5], 'error', ARGV[6])
announce(id)
return 1
`;

// ARGV: 2 id → 'missing', 'canceled' (it was waiting), 'requested' (its node is told), or the state it ended in
const cancel = `
local id = ARGV[2]
local job = redis.call('HMGET', jobKey(id), 'state', 'pool', 'cancelRequested')
local state = job[1]
if not state then return { 'missing' } end
if isEnded(state) then return { 'ended', state } end
if state ~= 'active' then
  cancelNow(id, job[2], state)
  return { 'canceled' }
end
if job[3] ~= '1' then
  redis.call('HSET', jobKey(id), 'cancelRequested', '1')
  announce(id)
end
return { 'requested' }
`;

// ARGV: 2 id → 'missing', 'queued', or 'conflict' and the state
const retry = `
local id = ARGV[2]
local job = redis.call('HMGET', jobKey(id), 'state', 'pool')
local state = job[1]
if not state then return { 'missing' } end
if state ~= 'failed' and state ~= 'canceled' then return { 'conflict', state } end
move(id, job[2], state, 'queued')
redis.call('HSET', jobKey(id), 'error', '', 'result', '', 'progress', '', 'phase', '', 'cancelRequested', '0',
  'abandoned', 0, 'startedAt', '', 'endedAt', '')
redis.call('ZADD', base .. 'outbox', now, id)
announce(id)
return { 'queued' }
`;

// An active job that BullMQ no longer has, or gives to the next node: whoever ran it is gone.
// ARGV: 2 id, 3 attempt, 4 how often that may happen, 5 the error that says so → the state now, or ''
const abandon = `
local id = ARGV[2]
local job = redis.call('HMGET', jobKey(id), 'state', 'attempt', 'pool', 'cancelRequested')
if job[1] ~= 'active' or job[2] ~= ARGV[3] then return '' end
if job[4] == '1' then
  cancelNow(id, job[3], 'active')
  return 'canceled'
end
if abandoned(id, job[3], ARGV[4], ARGV[5]) then return 'failed' end
move(id, job[3], 'active', 'queued')
redis.call('HSET', jobKey(id), 'phase', '', 'error', ARGV[5])
redis.call('ZADD', base .. 'outbox', now, id)
announce(id)
return 'queued'
`;

// Removes ended jobs that are too old or too many, a batch at a time.
// ARGV: 2 seconds to keep, 3 number to keep, 4 batch, 5 ms that an Idempotency-Key lives at least → number removed
const trim = `
local batch = tonumber(ARGV[4])
local oldest = string.format('%.0f', now - ARGV[2] * 1000)
local ids = redis.call('ZRANGEBYSCORE', base .. 'jobs:ended', '-inf', oldest, 'LIMIT', 0, batch)
if #ids == 0 then
  local excess = redis.call('ZCARD', base .. 'jobs:ended') - tonumber(ARGV[3])
  if excess > 0 then ids = redis.call('ZRANGE', base .. 'jobs:ended', 0, math.min(excess, batch) - 1) end
end
for _, id in ipairs(ids) do
  local job = redis.call('HMGET', jobKey(id), 'state', 'kind', 'pool', 'batch', 'idem', 'createdAt')
  redis.call('ZREM', base .. 'jobs:ended', id)
  redis.call('ZREM', base .. 'jobs:all', id)
  redis.call('ZREM', base .. 'outbox', id)
  if job[1] then
    redis.call('ZREM', base .. 'jobs:state:' .. job[1], id)
    redis.call('ZREM', base .. 'jobs:kind:' .. job[2], id)
    redis.call('ZREM', base .. 'jobs:pool:' .. job[3], id)
    if job[4] ~= '' then redis.call('ZREM', base .. 'jobs:batch:' .. job[4], id) end
    redis.call('HINCRBY', base .. 'jobs:counts', job[3] .. '|' .. job[1], -1)
    if job[5] ~= '' then
      local left = job[6] + ARGV[5] - now
      if left > 0 then
        redis.call('HSET', base .. 'idem:' .. job[5], 'state', job[1])
        redis.call('PEXPIRE', base .. 'idem:' .. job[5], string.format('%.0f', left))
      else
        redis.call('DEL', base .. 'idem:' .. job[5])
      end
    end
    redis.call('DEL', jobKey(id))
  end
end
return #ids
`;

const SOURCES = { create, replay, start, report, requeue, finish, cancel, retry, abandon, trim };
export type ScriptName = keyof typeof SOURCES;

/** For `redis.defineCommand`: name → Lua. No KEYS: every name is built from ARGV[1]. */
export const SCRIPTS = Object.fromEntries(
  Object.entries(SOURCES).map(([name, body]) => [name, PRELUDE + body]),
) as Record<ScriptName, string>;
