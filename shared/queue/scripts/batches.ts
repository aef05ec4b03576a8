/**
 * What is done with a whole batch, each in one step. `batch:<id>` counts its disks by state (`n:<state>`) and those
 * that are admitted; `batch:<id>:jobs` lists them in the order of the request.
 */

// ARGV: 2 id, 3 name, 4 pool, 5 max, 6 onFailure, 7 labels, 8 layout (JSON), 9 sha256 of the Idempotency-Key,
// 10 sha256 of the body, then for each disk: id, kind, request, priority, bandwidth, path of the target, VM
// → { 'created' | 'replayed' | 'conflict', id, 'batch', state, disks }
const createBatch = `
local id, pool, idem, body = ARGV[2], ARGV[4], ARGV[9], ARGV[10]
local first, width = 11, 7
local total = (#ARGV - first + 1) / width
if idem ~= '' then
  local earlier = known(idem, body, id)
  if earlier then return earlier end
end
if redis.call('EXISTS', batchKey(id)) == 1 then return { 'created', id, 'batch', 'queued', total } end
redis.call('HSET', batchKey(id), 'id', id, 'name', ARGV[3], 'pool', pool, 'max', ARGV[5], 'onFailure', ARGV[6],
  'labels', ARGV[7], 'layout', ARGV[8], 'total', total, 'admitted', 0, 'paused', '0', 'idem', idem,
  'n:queued', total, 'n:active', 0, 'n:paused', 0, 'n:completed', 0, 'n:failed', 0, 'n:canceled', 0,
  'createdAt', now, 'startedAt', '', 'endedAt', '', 'endState', '', 'announcedAt', now, 'version', 0)
redis.call('ZADD', base .. 'batches:all', 0, id)
for position = 0, total - 1 do
  local at = first + position * width
  local job = ARGV[at]
  record(job, ARGV[at + 1], pool, id, ARGV[at + 6], position, ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], '')
  redis.call('RPUSH', batchKey(id) .. ':jobs', job)
  wait(id, job)
end
if idem ~= '' then
  redis.call('HSET', base .. 'idem:' .. idem, 'id', id, 'body', body, 'kind', 'batch', 'state', 'queued', 'disks', total)
end
settleBatch(id)
return { 'created', id, 'batch', 'queued', total }
`;

// A batch and its disks in one answer. ARGV: 2 id → {} or { [key, value, …], [id, state, phase, progress, error, target, …] }
const batch = `
local id = ARGV[2]
local hash = redis.call('HGETALL', batchKey(id))
if #hash == 0 then return {} end
local disks = {}
for _, job in ipairs(redis.call('LRANGE', batchKey(id) .. ':jobs', 0, -1)) do
  local values = redis.call('HMGET', jobKey(job), 'state', 'phase', 'progress', 'error', 'targetPath')
  disks[#disks + 1] = job
  for i = 1, 5 do disks[#disks + 1] = values[i] or '' end
end
return { hash, disks }
`;

// How the scripts begin that do something with every disk of a batch that has not ended
// → 'missing', 'ended' and the state, or 'done' and the ids that BullMQ need not know any more
const OPEN_BATCH = `
local id = ARGV[2]
local b = redis.call('HMGET', batchKey(id), 'endState', 'paused')
if not b[1] then return { 'missing' } end
if b[1] ~= '' then return { 'ended', b[1] } end
local answer = { 'done' }
`;

// ARGV: 2 id
const cancelBatch = `${OPEN_BATCH}
for _, job in ipairs(redis.call('LRANGE', batchKey(id) .. ':jobs', 0, -1)) do
  local j = redis.call('HMGET', jobKey(job), 'state', 'cancelRequested', 'admitted')
  if j[1] == 'active' then
    if j[2] ~= '1' then
      redis.call('HSET', jobKey(job), 'cancelRequested', '1')
      publish(jobKey(job), job)
    end
  elseif not isEnded(j[1]) then
    if j[3] == '1' then answer[#answer + 1] = job end
    cancelNow(job)
    publish(jobKey(job), job)
  end
end
settleBatch(id)
return answer
`;

// ARGV: 2 id
const pauseBatch = `${OPEN_BATCH}
redis.call('HSET', batchKey(id), 'paused', '1')
for _, job in ipairs(redis.call('LRANGE', batchKey(id) .. ':jobs', 0, -1)) do
  local j = redis.call('HMGET', jobKey(job), 'state', 'pauseRequested', 'admitted')
  if j[1] == 'active' and j[2] ~= '1' then
    redis.call('HSET', jobKey(job), 'pauseRequested', '1', 'pausedBy', 'batch')
    publish(jobKey(job), job)
  elseif j[1] == 'queued' and j[3] == '1' then
    release(job, id)
    wait(id, job)
    answer[#answer + 1] = job
  end
end
settleBatch(id)
return answer
`;

// ARGV: 2 id
const resumeBatch = `${OPEN_BATCH}
redis.call('HSET', batchKey(id), 'paused', '0')
for _, job in ipairs(redis.call('LRANGE', batchKey(id) .. ':jobs', 0, -1)) do
  local j = redis.call('HMGET', jobKey(job), 'state', 'pauseRequested', 'pausedBy')
  if j[3] == 'batch' then
    if j[1] == 'paused' then
      move(job, 'queued')
      wait(id, job)
      publish(jobKey(job), job)
    elseif j[1] == 'active' and j[2] == '1' then
      redis.call('HSET', jobKey(job), 'pauseRequested', '0')
      publish(jobKey(job), job)
    end
    redis.call('HSET', jobKey(job), 'pausedBy', '')
  end
end
settleBatch(id)
return answer
`;

// ARGV: 2 id → 'missing', 'none' (nothing failed), or 'done'
const retryBatch = `
local id = ARGV[2]
if redis.call('EXISTS', batchKey(id)) == 0 then return { 'missing' } end
local revived = 0
for _, job in ipairs(redis.call('LRANGE', batchKey(id) .. ':jobs', 0, -1)) do
  local j = redis.call('HMGET', jobKey(job), 'state', 'stopped')
  if j[1] == 'failed' or (j[1] == 'canceled' and j[2] == '1') then
    revive(job, id)
    publish(jobKey(job), job)
    revived = revived + 1
  end
end
if revived == 0 then return { 'none' } end
settleBatch(id)
return { 'done' }
`;

// Removes one ended batch that is too old, or the oldest while all ended ones together have too many disks.
// ARGV: 2 seconds to keep, 3 disks to keep, 4 ms that an Idempotency-Key lives at least → number of disks removed
const trimBatch = `
local oldest = string.format('%.0f', nowMs - ARGV[2] * 1000)
local id = redis.call('ZRANGEBYSCORE', base .. 'batches:ended', '-inf', oldest, 'LIMIT', 0, 1)[1]
if not id and tonumber(redis.call('GET', base .. 'batches:endedDisks') or '0') > tonumber(ARGV[3]) then
  id = redis.call('ZRANGE', base .. 'batches:ended', 0, 0)[1]
end
if not id then return 0 end
local b = redis.call('HMGET', batchKey(id), 'idem', 'createdAt', 'total', 'endState')
redis.call('ZREM', base .. 'batches:ended', id)
redis.call('ZREM', base .. 'batches:all', id)
redis.call('DECRBY', base .. 'batches:endedDisks', b[3])
for _, job in ipairs(redis.call('LRANGE', batchKey(id) .. ':jobs', 0, -1)) do forget(job, ARGV[4]) end
if b[1] ~= '' then
  local left = b[2] + ARGV[4] - nowMs
  redis.call('HSET', base .. 'idem:' .. b[1], 'state', b[4])
  redis.call('PEXPIRE', base .. 'idem:' .. b[1], string.format('%.0f', math.max(left, 1)))
end
redis.call('DEL', batchKey(id), batchKey(id) .. ':jobs', batchKey(id) .. ':waiting')
return tonumber(b[3])
`;

export const BATCH_SCRIPTS = { createBatch, batch, cancelBatch, pauseBatch, resumeBatch, retryBatch, trimBatch };
