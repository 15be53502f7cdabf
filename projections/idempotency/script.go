package idempotency

import "github.com/redis/go-redis/v9"

// A key is a hash: state ("held", "done" or "free"), token, until (when the lease runs out, in milliseconds since 1970 by
// the server's clock), call (that claimed it) and result. It goes away some time after its last change.
//
// A token is at least the server's clock in microseconds, so that tokens rise even where Redis has forgotten the key.

// beginScript claims a key. ARGV: lease and time to keep, in milliseconds, and the name of the call, which gets its claim again
// when it is repeated.
var beginScript = redis.NewScript(`
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local has = redis.call('HMGET', KEYS[1], 'state', 'until', 'token', 'result', 'call')
if has[1] == 'done' then return {'done', has[3], has[4]} end
local again = has[1] == 'held' and has[5] == ARGV[3]
if has[1] == 'held' and not again and tonumber(has[2]) > now then return {'held', has[3], string.format('%.0f', tonumber(has[2]) - now)} end
local token = has[3]
if not again then token = string.format('%.0f', math.max(tonumber(has[3] or '0') + 1, t[1] * 1000000 + t[2])) end
redis.call('HSET', KEYS[1], 'state', 'held', 'token', token, 'call', ARGV[3], 'until', string.format('%.0f', now + ARGV[1]))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ARGV[1] + ARGV[2]))
return {'claimed', token, ''}
`)

// completeScript records a result. ARGV: token, result, time to keep. A completion that is repeated is as good as the first;
// one whose lease has run out is, too, if nobody has taken the key since.
var completeScript = redis.NewScript(`
local has = redis.call('HMGET', KEYS[1], 'state', 'token')
if has[2] ~= ARGV[1] or has[1] == 'free' then return 0 end
redis.call('HSET', KEYS[1], 'state', 'done', 'result', ARGV[2])
redis.call('HDEL', KEYS[1], 'until', 'call')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
`)

// releaseScript gives a key back, to whoever claims it next. ARGV: token, time to keep the token.
var releaseScript = redis.NewScript(`
local has = redis.call('HMGET', KEYS[1], 'state', 'token')
if has[2] ~= ARGV[1] or has[1] == 'done' then return 0 end
redis.call('HSET', KEYS[1], 'state', 'free')
redis.call('HDEL', KEYS[1], 'until', 'call')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
`)

// extendScript begins a lease anew. ARGV: token, lease, time to keep.
var extendScript = redis.NewScript(`
local has = redis.call('HMGET', KEYS[1], 'state', 'token')
if has[2] ~= ARGV[1] or has[1] ~= 'held' then return 0 end
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[2]))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ARGV[2] + ARGV[3]))
return 1
`)
