/**
 * The transitions of a job. States: queued → active → completed | failed | canceled; active → queued (requeue,
 * abandoned) or paused; queued → paused or canceled; paused → queued or canceled; failed | canceled → queued (retry).
 * `attempt` grows with each start and fences: whatever an older attempt says changes nothing and returns 0.
 */

// ARGV: 2 id, 3 kind, 4 pool, 5 request, 6 priority, 7 bandwidth, 8 path of the target, 9 sha256 of the
// Idempotency-Key, 10 sha256 of the body
// → { 'created' | 'replayed' | 'conflict', id, kind, state }
const create = `
local id, kind, pool, idem, body = ARGV[2], ARGV[3], ARGV[4], ARGV[9], ARGV[10]
if idem ~= '' then
  local earlier = known(idem, body, id)
  if earlier then return earlier end
end
if redis.call('EXISTS', jobKey(id)) == 1 then
  return { 'created', id, kind, redis.call('HGET', jobKey(id), 'state') }
end
record(id, kind, pool, '', '', 0, ARGV[5], ARGV[6], ARGV[7], ARGV[8], idem)
enqueue(id, '')
-- No expiry while the job is kept; trim sets one.
if idem ~= '' then redis.call('HSET', base .. 'idem:' .. idem, 'id', id, 'body', body, 'kind', kind, 'state', 'queued') end
return { 'created', id, kind, 'queued' }
`;

// ARGV: 2 sha256 of the Idempotency-Key, 3 sha256 of the body → as create and createBatch, or { 'unknown' }
const replay = `
return known(ARGV[2], ARGV[3], '') or { 'unknown' }
`;

// ARGV: 2 id, 3 node, 4 how often a job may lose its node, 5 error for when it does more often, 6 ms of the lease
// → the record as key, value, …; empty when there is nothing to do; { ms } while somebody else has a lease;
// { id, batch, state } when it was not started but came into that state by this
const start = `
local id = ARGV[2]
local job = redis.call('HMGET', jobKey(id), 'state', 'cancelRequested', 'startedAt', 'pauseRequested', 'admitted',
  'lease', 'batch', 'node', 'lost')
local state = job[1]
if state ~= 'queued' and state ~= 'active' then return {} end
local left = job[6] - nowMs
if state == 'active' and left > 0 then return { string.format('%.0f', left) } end
if job[2] == '1' then
  cancelNow(id)
  announce(id)
  return { id, job[7], 'canceled' }
end
if state == 'active' and job[4] == '1' then
  move(id, 'paused')
  announce(id)
  return { id, job[7], 'paused' }
end
-- Withdrawn since BullMQ had it: paused, or its batch was.
if job[5] == '0' then return {} end
-- Still active: the node that had it is gone.
if state == 'active' and abandoned(id, ARGV[4], ARGV[5]) then return { id, job[7], 'failed' } end
move(id, 'active')
redis.call('HINCRBY', jobKey(id), 'attempt', 1)
redis.call('HSET', jobKey(id), 'phase', 'opening', 'node', ARGV[3], 'error', '',
  'lost', state == 'active' and job[8] or job[9] or '', 'lease', string.format('%.0f', nowMs + ARGV[6]))
if job[3] == '' then redis.call('HSET', jobKey(id), 'startedAt', now) end
-- It came through BullMQ, so BullMQ knows it.
redis.call('ZREM', base .. 'outbox', id)
announce(id)
return redis.call('HGETALL', jobKey(id))
`;

// ARGV: 2 id, 3 attempt, 4 phase, 5 progress ('': as it was), 6 ms of the lease
// → 1, or 0 when this attempt does not own the job
const report = `
local id = ARGV[2]
local job = redis.call('HMGET', jobKey(id), 'state', 'attempt')
if job[1] ~= 'active' or job[2] ~= ARGV[3] then return 0 end
redis.call('HSET', jobKey(id), 'phase', ARGV[4], 'lease', string.format('%.0f', nowMs + ARGV[6]))
if ARGV[5] ~= '' then redis.call('HSET', jobKey(id), 'progress', ARGV[5]) end
announceProgress(id)
return 1
`;

// Who finds that another job had the target since forgets what it knows of it, in the same step: the next attempt
// could not tell any more. ARGV: 2 id, 3 attempt, 4 key of the target
// → { 'held', job that wrote it last } | { 'busy', job } | { 'lost' }
const hold = `
local id, target = ARGV[2], ARGV[4]
local job = redis.call('HMGET', jobKey(id), 'state', 'attempt', 'heldBy', 'heldBefore', 'target')
if job[1] ~= 'active' or job[2] ~= ARGV[3] then return { 'lost' } end
local holder = redis.call('HGET', base .. 'targets', target)
-- Sent twice: by now the holder is this job, and who it was before is what was asked.
if holder == id and job[3] == ARGV[3] and job[5] == target then return { 'held', job[4] } end
if holder and holder ~= id then
  local other = redis.call('HMGET', jobKey(holder), 'state', 'lease', 'target')
  if other[1] == 'active' and other[3] == target then
    if other[2] - nowMs > 0 then return { 'busy', holder } end
    -- It may wake up: this number is nobody's, so that no report of its attempt can renew the lease.
    redis.call('HINCRBY', jobKey(holder), 'attempt', 1)
  end
end
redis.call('HSET', base .. 'targets', target, id)
redis.call('HSET', jobKey(id), 'target', target, 'heldBy', ARGV[3], 'heldBefore', holder or '')
if holder ~= id then redis.call('HSET', jobKey(id), 'checkpoint', '') end
return { 'held', holder or '' }
`;

// Who makes progress is not what kills nodes; to record where it begins is none.
// ARGV: 2 id, 3 attempt, 4 checkpoint ('': nothing is known of the target), 5 '1': it claims more than the one before
// → 1, or 0 as report
const checkpoint = `
local id = ARGV[2]
local job = redis.call('HMGET', jobKey(id), 'state', 'attempt')
if job[1] ~= 'active' or job[2] ~= ARGV[3] then return 0 end
redis.call('HSET', jobKey(id), 'checkpoint', ARGV[4])
if ARGV[5] == '1' then redis.call('HSET', jobKey(id), 'abandoned', 0) end
return 1
`;

// Where a client sends or reads. ARGV: 2 id, 3 attempt, 4 offer → 1, or 0 as report
const offer = `
local id = ARGV[2]
local job = redis.call('HMGET', jobKey(id), 'state', 'attempt')
if job[1] ~= 'active' or job[2] ~= ARGV[3] then return 0 end
redis.call('HSET', jobKey(id), 'offer', ARGV[4])
announce(id)
return 1
`;

// ARGV: 2 id, 3 what the client said → 'missing', 'requested', or 'conflict' and the state
const finalize = `
local id = ARGV[2]
local job = redis.call('HMGET', jobKey(id), 'state', 'offer', 'finalize')
if not job[1] then return { 'missing' } end
if job[1] ~= 'active' then return { 'conflict', job[1] } end
-- Said again: the first time counts.
if job[3] ~= '' then return { 'requested' } end
if job[2] == '' then return { 'conflict', 'not ready for its client yet' } end
redis.call('HSET', jobKey(id), 'finalize', ARGV[3])
announce(id)
return { 'requested' }
`;

// What the client had sent is not all durable: it must send again. ARGV: 2 id, 3 attempt → 1, or 0 as report
const unfinalize = `
local id = ARGV[2]
local job = redis.call('HMGET', jobKey(id), 'state', 'attempt')
if job[1] ~= 'active' or job[2] ~= ARGV[3] then return 0 end
redis.call('HSET', jobKey(id), 'finalize', '')
announce(id)
return 1
`;

// ARGV: 2 id, 3 attempt, 4 error → 1, or 0 when this attempt does not own the job
const requeue = `
local id = ARGV[2]
local job = redis.call('HMGET', jobKey(id), 'state', 'attempt', 'cancelRequested')
if job[2] ~= ARGV[3] then return 0 end
if job[1] == 'queued' or job[1] == 'paused' or (job[1] == 'canceled' and job[3] == '1') then return 1 end
if job[1] ~= 'active' then return 0 end
goBack(id, ARGV[4])
announce(id)
return 1
`;

// ARGV: 2 id, 3 attempt → 1, or 0 when this attempt does not own the job
const suspend = `
local id = ARGV[2]
local job = redis.call('HMGET', jobKey(id), 'state', 'attempt', 'batch', 'pauseRequested')
if job[2] ~= ARGV[3] then return 0 end
if job[1] ~= 'active' then return (job[1] == 'paused' or job[1] == 'queued' or job[1] == 'canceled') and 1 or 0 end
goBack(id, '')
-- The pause was withdrawn, but its attempt had already stopped.
if redis.call('HGET', jobKey(id), 'state') == 'queued' then
  release(id, job[3])
  enqueue(id, job[3])
end
announce(id)
return 1
`;

// ARGV: 2 id, 3 attempt, 4 state, 5 result, 6 error → 1, or 0 when this attempt does not own the job
const finish = `
local id, to = ARGV[2], ARGV[4]
local job = redis.call('HMGET', jobKey(id), 'state', 'attempt')
if job[2] ~= ARGV[3] then return 0 end
if job[1] == to then return 1 end
if job[1] ~= 'active' then return 0 end
move(id, to)
redis.call('HSET', jobKey(id), 'result', ARGV[5], 'error', ARGV[6])
-- Nothing is left to go on with.
if to == 'completed' then redis.call('HSET', jobKey(id), 'checkpoint', '') end
announce(id)
return 1
`;

// ARGV: 2 id → 'missing', 'canceled' (it was waiting), 'requested' (its node is told), or the state it ended in
const cancel = `
local id = ARGV[2]
local job = redis.call('HMGET', jobKey(id), 'state', 'cancelRequested')
local state = job[1]
if not state then return { 'missing' } end
if isEnded(state) then return { 'ended', state } end
if state ~= 'active' then
  cancelNow(id)
  announce(id)
  return { 'canceled' }
end
if job[2] ~= '1' then
  redis.call('HSET', jobKey(id), 'cancelRequested', '1')
  announce(id)
end
return { 'requested' }
`;

// ARGV: 2 id → 'missing', 'paused' (it did not run), 'requested' (its node is told), or 'ended' and the state
const pause = `
local id = ARGV[2]
local job = redis.call('HMGET', jobKey(id), 'state', 'pauseRequested', 'pausedBy')
local state = job[1]
if not state then return { 'missing' } end
if isEnded(state) then return { 'ended', state } end
if state == 'queued' then
  move(id, 'paused')
  redis.call('HSET', jobKey(id), 'pausedBy', 'person')
  announce(id)
  return { 'paused' }
end
-- What the pause of its batch had stopped stays when the batch goes on.
redis.call('HSET', jobKey(id), 'pausedBy', 'person')
if state == 'active' and job[2] ~= '1' then
  redis.call('HSET', jobKey(id), 'pauseRequested', '1')
  announce(id)
end
return { state == 'active' and 'requested' or 'paused' }
`;

// ARGV: 2 id → 'missing', 'queued' (it goes on when its turn comes), 'withdrawn' (it still runs), or 'conflict' and the state
const resume = `
local id = ARGV[2]
local job = redis.call('HMGET', jobKey(id), 'state', 'pauseRequested', 'batch')
local state = job[1]
if not state then return { 'missing' } end
if state == 'active' and job[2] == '1' then
  redis.call('HSET', jobKey(id), 'pauseRequested', '0', 'pausedBy', '')
  announce(id)
  return { 'withdrawn' }
end
if state ~= 'paused' then return { 'conflict', state } end
move(id, 'queued')
redis.call('HSET', jobKey(id), 'pausedBy', '')
enqueue(id, job[3])
announce(id)
return { 'queued' }
`;

// ARGV: 2 id, 3 priority ('': as it is), 4 bandwidth ('': as it is, '0': no limit) → 'missing', 'changed', or 'ended' and the state
const patch = `
local id = ARGV[2]
local job = redis.call('HMGET', jobKey(id), 'state', 'batch', 'admitted')
if not job[1] then return { 'missing' } end
if isEnded(job[1]) then return { 'ended', job[1] } end
if ARGV[3] ~= '' then
  redis.call('HSET', jobKey(id), 'priority', ARGV[3])
  if job[1] == 'queued' and job[2] ~= '' and job[3] == '0' then wait(job[2], id) end
end
if ARGV[4] ~= '' then redis.call('HSET', jobKey(id), 'bandwidth', ARGV[4]) end
announce(id)
return { 'changed' }
`;

// ARGV: 2 id → 'missing', 'queued', or 'conflict' and the state
const retry = `
local id = ARGV[2]
local job = redis.call('HMGET', jobKey(id), 'state', 'batch')
local state = job[1]
if not state then return { 'missing' } end
if state ~= 'failed' and state ~= 'canceled' then return { 'conflict', state } end
revive(id, job[2])
announce(id)
return { 'queued' }
`;

// An active job that BullMQ no longer has, or gives to the next node: whoever ran it is gone.
// ARGV: 2 id, 3 attempt, 4 how often that may happen, 5 the error that says so
// → the state now, 'leased' while its lease lasts, or ''
const abandon = `
local id = ARGV[2]
local job = redis.call('HMGET', jobKey(id), 'state', 'attempt', 'lease', 'node')
if job[1] ~= 'active' or job[2] ~= ARGV[3] then return '' end
if job[3] - nowMs > 0 then return 'leased' end
if abandoned(id, ARGV[4], ARGV[5]) then return 'failed' end
goBack(id, ARGV[5])
local state = redis.call('HGET', jobKey(id), 'state')
if state == 'queued' then
  redis.call('ZADD', base .. 'outbox', now, id)
  redis.call('HSET', jobKey(id), 'lost', job[4])
end
announce(id)
return state
`;

// Removes ended jobs that are too old or too many, some at a time.
// ARGV: 2 seconds to keep, 3 number to keep, 4 most at once, 5 ms that an Idempotency-Key lives at least → number removed
const trim = `
local most = tonumber(ARGV[4])
local oldest = string.format('%.0f', nowMs - ARGV[2] * 1000)
local ids = redis.call('ZRANGEBYSCORE', base .. 'jobs:ended', '-inf', oldest, 'LIMIT', 0, most)
if #ids == 0 then
  local excess = redis.call('ZCARD', base .. 'jobs:ended') - tonumber(ARGV[3])
  if excess > 0 then ids = redis.call('ZRANGE', base .. 'jobs:ended', 0, math.min(excess, most) - 1) end
end
for _, id in ipairs(ids) do
  redis.call('ZREM', base .. 'jobs:ended', id)
  forget(id, ARGV[5])
end
return #ids
`;

export const JOB_SCRIPTS = {
  create,
  replay,
  start,
  report,
  hold,
  checkpoint,
  offer,
  finalize,
  unfinalize,
  requeue,
  suspend,
  finish,
  cancel,
  pause,
  resume,
  patch,
  retry,
  abandon,
  trim,
};
