/**
 * What every script begins with: names of keys, the clock, and the only functions that move a job from one
 * state to another. A move keeps indices, counters and the job's batch right; `announce` tells watchers.
 *
 * Admission: a job is handed to BullMQ only while it is `admitted`. One by itself always is; of a batch at most
 * `max` are, over all nodes, and the others wait in `batch:<id>:waiting`. So the limit holds whatever node runs what,
 * and a batch of thousands never stands in front of a single job.
 */
export const PRELUDE = `
local base = ARGV[1]
local clock = redis.call('TIME')
local nowMs = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- %.0f: Lua would print a number this large as 1.7e+12
local now = string.format('%.0f', nowMs)
local function jobKey(id) return base .. 'job:' .. id end
local function batchKey(id) return base .. 'batch:' .. id end
local function isEnded(state) return state == 'completed' or state == 'failed' or state == 'canceled' end
-- Between two announcements of progress of one batch.
local BATCH_PROGRESS_MS = 400

-- Jobs of a pool that wait for a place in their batch: so many more.
local function countWaiting(batch, more)
  if more ~= 0 then redis.call('HINCRBY', base .. 'jobs:waiting', redis.call('HGET', batchKey(batch), 'pool'), more) end
end

-- Of those that wait the most urgent first, then in the order of the request.
local function wait(batch, id)
  local job = redis.call('HMGET', jobKey(id), 'priority', 'position')
  local score = (1000 - job[1]) * 100000 + job[2]
  countWaiting(batch, redis.call('ZADD', batchKey(batch) .. ':waiting', string.format('%.0f', score), id))
end

-- Gives the job's place in its batch to another, and takes it out of what waits for BullMQ.
local function release(id, batch)
  redis.call('ZREM', base .. 'outbox', id)
  if redis.call('HGET', jobKey(id), 'admitted') == '1' then
    redis.call('HSET', jobKey(id), 'admitted', '0')
    if batch ~= '' then redis.call('HINCRBY', batchKey(batch), 'admitted', -1) end
  elseif batch ~= '' then
    countWaiting(batch, -redis.call('ZREM', batchKey(batch) .. ':waiting', id))
  end
end

-- Makes a queued job ready to run: at once, or when its batch has a place.
local function enqueue(id, batch)
  if batch ~= '' then return wait(batch, id) end
  redis.call('HSET', jobKey(id), 'admitted', '1')
  redis.call('ZADD', base .. 'outbox', now, id)
end

-- Fills the free places of a batch.
local function admit(batch)
  local b = redis.call('HMGET', batchKey(batch), 'max', 'admitted', 'paused')
  if not b[1] or b[3] == '1' then return end
  local room = b[1] - b[2]
  if room <= 0 then return end
  local ids = redis.call('ZRANGE', batchKey(batch) .. ':waiting', 0, room - 1)
  for _, id in ipairs(ids) do
    redis.call('ZREM', batchKey(batch) .. ':waiting', id)
    redis.call('HSET', jobKey(id), 'admitted', '1')
    redis.call('ZADD', base .. 'outbox', now, id)
  end
  if #ids > 0 then redis.call('HINCRBY', batchKey(batch), 'admitted', #ids) end
  countWaiting(batch, -#ids)
end

-- What an attempt says of its speed ends with it. Not decoded: Lua would round large numbers.
local function stopClock(id)
  local progress = redis.call('HGET', jobKey(id), 'progress')
  if progress == '' then return end
  progress = string.gsub(progress, '"bytesPerSecond":[%d%.]+', '"bytesPerSecond":0')
  redis.call('HSET', jobKey(id), 'progress', (string.gsub(progress, '"etaSeconds":[%d%.]+', '"etaSeconds":null')))
end

-- Puts a job into another state: record, indices, counters. Call announce after it.
local function move(id, to)
  local job = redis.call('HMGET', jobKey(id), 'state', 'pool', 'batch')
  local from, pool, batch = job[1], job[2], job[3]
  -- Whatever a client was offered was offered by an attempt that has ended, or has not begun.
  redis.call('HSET', jobKey(id), 'state', to, 'lost', '', 'offer', '')
  if isEnded(to) then redis.call('HSET', jobKey(id), 'finalize', '') end
  if isEnded(to) or to == 'paused' then
    release(id, batch)
    redis.call('HSET', jobKey(id), 'pauseRequested', '0', 'lease', '0', 'phase', '')
  end
  if from == 'active' or to == 'active' then stopClock(id) end
  if from == to then return end
  redis.call('ZREM', base .. 'jobs:state:' .. from, id)
  redis.call('ZADD', base .. 'jobs:state:' .. to, 0, id)
  redis.call('HINCRBY', base .. 'jobs:counts', pool .. '|' .. from, -1)
  redis.call('HINCRBY', base .. 'jobs:counts', pool .. '|' .. to, 1)
  if batch ~= '' then
    redis.call('HINCRBY', batchKey(batch), 'n:' .. from, -1)
    redis.call('HINCRBY', batchKey(batch), 'n:' .. to, 1)
  end
  if isEnded(to) then
    -- A disk is kept as long as its batch.
    if batch == '' then redis.call('ZADD', base .. 'jobs:ended', now, id) end
    redis.call('HSET', jobKey(id), 'endedAt', now)
  elseif isEnded(from) then
    redis.call('ZREM', base .. 'jobs:ended', id)
  end
end

-- One more version of a job or a batch for whoever watches it.
local function publish(key, id)
  redis.call('PUBLISH', base .. 'change:' .. id, redis.call('HINCRBY', key, 'version', 1))
end

-- What follows for a batch when some of its disks changed their state.
local function settleBatch(batch)
  local key = batchKey(batch)
  admit(batch)
  local b = redis.call('HMGET', key, 'n:queued', 'n:active', 'n:paused', 'n:failed', 'n:canceled', 'endedAt', 'total')
  local left = b[1] + b[2] + b[3]
  if left == 0 and b[6] == '' then
    local state = tonumber(b[4]) > 0 and 'failed' or tonumber(b[5]) > 0 and 'canceled' or 'completed'
    redis.call('HSET', key, 'endedAt', now, 'endState', state, 'paused', '0')
    redis.call('ZADD', base .. 'batches:ended', now, batch)
    redis.call('INCRBY', base .. 'batches:endedDisks', b[7])
  elseif left > 0 and b[6] ~= '' then
    redis.call('HSET', key, 'endedAt', '', 'endState', '')
    redis.call('ZREM', base .. 'batches:ended', batch)
    redis.call('DECRBY', base .. 'batches:endedDisks', b[7])
  end
  redis.call('HSET', key, 'announcedAt', now)
  publish(key, batch)
end

-- A disk failed and the batch is to stop: what has not started is canceled.
local function stopBatch(batch)
  for _, id in ipairs(redis.call('LRANGE', batchKey(batch) .. ':jobs', 0, -1)) do
    local job = redis.call('HMGET', jobKey(id), 'state', 'attempt')
    if (job[1] == 'queued' or job[1] == 'paused') and job[2] == '0' then
      move(id, 'canceled')
      redis.call('HSET', jobKey(id), 'stopped', '1')
      publish(jobKey(id), id)
    end
  end
end

-- After every change of a job's state: tells the watchers of the job and of its batch.
local function announce(id)
  publish(jobKey(id), id)
  local job = redis.call('HMGET', jobKey(id), 'batch', 'state')
  local batch = job[1]
  if batch == '' then return end
  if job[2] == 'failed' and redis.call('HGET', batchKey(batch), 'onFailure') == 'stop' then stopBatch(batch) end
  if job[2] == 'active' and redis.call('HGET', batchKey(batch), 'startedAt') == '' then
    redis.call('HSET', batchKey(batch), 'startedAt', now)
  end
  settleBatch(batch)
end

-- After progress: the batch is told now and then.
local function announceProgress(id)
  publish(jobKey(id), id)
  local batch = redis.call('HGET', jobKey(id), 'batch')
  if batch == '' then return end
  local last = redis.call('HGET', batchKey(batch), 'announcedAt')
  if nowMs - last < BATCH_PROGRESS_MS then return end
  redis.call('HSET', batchKey(batch), 'announcedAt', now)
  publish(batchKey(batch), batch)
end

local function cancelNow(id)
  move(id, 'canceled')
  redis.call('HSET', jobKey(id), 'cancelRequested', '1', 'error', '')
end

-- An active job whose attempt is over: where it goes when nobody says that it has ended.
local function goBack(id, error)
  local job = redis.call('HMGET', jobKey(id), 'cancelRequested', 'pauseRequested')
  if job[1] == '1' then
    cancelNow(id)
  elseif job[2] == '1' then
    move(id, 'paused')
    redis.call('HSET', jobKey(id), 'error', error)
  else
    move(id, 'queued')
    redis.call('HSET', jobKey(id), 'phase', '', 'lease', '0', 'error', error)
  end
end

-- An active job lost its node. True: for the last time, it has failed.
local function abandoned(id, limit, message)
  if redis.call('HINCRBY', jobKey(id), 'abandoned', 1) <= tonumber(limit) then return false end
  move(id, 'failed')
  redis.call('HSET', jobKey(id), 'error', message)
  announce(id)
  return true
end

-- A failed or canceled job as good as new; what it made durable is not forgotten.
local function revive(id, batch)
  move(id, 'queued')
  redis.call('HSET', jobKey(id), 'error', '', 'result', '', 'progress', '', 'phase', '', 'cancelRequested', '0',
    'abandoned', 0, 'stopped', '0', 'startedAt', '', 'endedAt', '')
  enqueue(id, batch)
end

-- ARGV of one job → its record. 'admitted' is for the caller.
local function record(id, kind, pool, batch, vm, position, request, priority, bandwidth, target, idem)
  redis.call('HSET', jobKey(id), 'id', id, 'kind', kind, 'pool', pool, 'batch', batch, 'vm', vm, 'position', position,
    'request', request, 'priority', priority, 'bandwidth', bandwidth, 'targetPath', target, 'idem', idem,
    'state', 'queued', 'phase', '', 'progress', '', 'result', '', 'error', '', 'attempt', 0, 'abandoned', 0,
    'node', '', 'lost', '', 'lease', '0', 'target', '', 'checkpoint', '', 'admitted', '0', 'stopped', '0', 'pausedBy', '',
    'cancelRequested', '0', 'pauseRequested', '0', 'offer', '', 'finalize', '', 'createdAt', now, 'startedAt', '', 'endedAt', '', 'version', 1)
  redis.call('ZADD', base .. 'jobs:all', 0, id)
  redis.call('ZADD', base .. 'jobs:state:queued', 0, id)
  redis.call('ZADD', base .. 'jobs:kind:' .. kind, 0, id)
  redis.call('ZADD', base .. 'jobs:pool:' .. pool, 0, id)
  if batch ~= '' then redis.call('ZADD', base .. 'jobs:batch:' .. batch, 0, id) end
  redis.call('HINCRBY', base .. 'jobs:counts', pool .. '|queued', 1)
end

-- What an earlier request with this Idempotency-Key made → { id, matches, kind, state }, or nil.
local function known(idem, body, own)
  local k = redis.call('HMGET', base .. 'idem:' .. idem, 'id', 'body', 'kind', 'state', 'disks')
  if not k[1] or k[1] == own then return nil end
  local state = redis.call('HGET', jobKey(k[1]), 'state') or k[4]
  return { k[2] == body and 'replayed' or 'conflict', k[1], k[3], state, k[5] or '' }
end

-- Removes all that is known of an ended job. The caller has taken it out of jobs:ended.
local function forget(id, idemMs)
  local job = redis.call('HMGET', jobKey(id), 'state', 'kind', 'pool', 'batch', 'idem', 'createdAt', 'target')
  redis.call('ZREM', base .. 'jobs:all', id)
  redis.call('ZREM', base .. 'outbox', id)
  if not job[1] then return end
  redis.call('ZREM', base .. 'jobs:state:' .. job[1], id)
  redis.call('ZREM', base .. 'jobs:kind:' .. job[2], id)
  redis.call('ZREM', base .. 'jobs:pool:' .. job[3], id)
  if job[4] ~= '' then redis.call('ZREM', base .. 'jobs:batch:' .. job[4], id) end
  redis.call('HINCRBY', base .. 'jobs:counts', job[3] .. '|' .. job[1], -1)
  if job[7] ~= '' and redis.call('HGET', base .. 'targets', job[7]) == id then
    redis.call('HDEL', base .. 'targets', job[7])
  end
  if job[5] ~= '' then
    local left = job[6] + idemMs - nowMs
    if left > 0 then
      redis.call('HSET', base .. 'idem:' .. job[5], 'state', job[1])
      redis.call('PEXPIRE', base .. 'idem:' .. job[5], string.format('%.0f', left))
    else
      redis.call('DEL', base .. 'idem:' .. job[5])
    end
  end
  redis.call('DEL', jobKey(id))
end
`;
