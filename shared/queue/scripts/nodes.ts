/** What is known of nodes: `nodes` holds the last report of each, with the time at which it came. */

// ARGV: 2 name, 3 instance, 4 report (JSON) → instance that had the name before, or ''
const beat = `
local before = redis.call('HGET', base .. 'node:instances', ARGV[2])
redis.call('HSET', base .. 'node:instances', ARGV[2], ARGV[3])
redis.call('HSET', base .. 'nodes', ARGV[2], now .. ' ' .. ARGV[4])
return before or ''
`;

// ARGV: 2 ms after which a silent node is forgotten → { time, name, '<heard> <report>', … }
const nodes = `
local answer = { now }
local all = redis.call('HGETALL', base .. 'nodes')
for i = 1, #all, 2 do
  local heard = tonumber(string.match(all[i + 1], '^(%d+) '))
  if nowMs - heard > tonumber(ARGV[2]) then
    redis.call('HDEL', base .. 'nodes', all[i])
    redis.call('HDEL', base .. 'node:instances', all[i])
  else
    answer[#answer + 1] = all[i]
    answer[#answer + 1] = all[i + 1]
  end
end
return answer
`;

export const NODE_SCRIPTS = { beat, nodes };
