-- Ages the test databases in one step: no other client is served while this runs.
-- ARGV:
--   1, 2   milliseconds to subtract from TTLs, and from due times;
--   3      1 if the server has PEXPIRETIME (Redis 7, Valkey), else 0;
--   4      1 if hash fields can expire (Redis 7.4, Valkey 9), else 0;
--   5      milliseconds after which keys that have run out expire;
--   6, ... the number of databases, and each of them;
--   ...    for each sorted set of due times: database, key, and units per second (0: guess the unit from each score).
-- Returns 0 if nothing expires, 1 if a key does, 3 if a hash field does; and the time, in milliseconds since 1970, at
-- which all of them have expired.

local by, due_by, has_expiretime, has_field_ttls = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1', ARGV[4] == '1'
local grace, databases = tonumber(ARGV[5]), tonumber(ARGV[6])
local expires, fields_expire = false, false

local function now()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- All digits: Lua formats large numbers with an exponent, which Redis rejects.
local function whole(number)
    return string.format('%.0f', number)
end

-- The TTL and the expiry time. Without PEXPIRETIME, the clock must not tick between TIME and PTTL.
local function ttl_and_expiry(key)
    if has_expiretime then return redis.call('PTTL', key), redis.call('PEXPIRETIME', key) end
    local before, ttl
    repeat
        before, ttl = now(), redis.call('PTTL', key)
    until now() == before
    return ttl, before + ttl
end

-- A key that has run out is set to expire in a moment. An expiry time in the past would delete it with the event `del`
-- instead of `expired`.
local function age_key(key)
    local ttl, expiry = ttl_and_expiry(key)
    if ttl < 0 then return end
    if ttl <= by + grace then
        redis.call('PEXPIRE', key, grace)
        expires = true
    else
        redis.call('PEXPIREAT', key, whole(expiry - by))
    end
end

-- Most keys do not expire soon. For those, one call of PEXPIRETIME is enough.
local far = now() + 60000 + by

local function age_keys()
    for _, key in ipairs(redis.call('KEYS', '*')) do
        local expiry = has_expiretime and redis.call('PEXPIRETIME', key) or 0
        if expiry > far then
            redis.call('PEXPIREAT', key, whole(expiry - by))
        elseif expiry >= 0 then
            age_key(key)
        end
    end
end

local function age_fields(key)
    for _, field in ipairs(redis.call('HKEYS', key)) do
        local ttl = redis.call('HPTTL', key, 'FIELDS', 1, field)[1]
        if ttl >= 0 then
            if ttl <= by + grace then
                redis.call('HPEXPIRE', key, grace, 'FIELDS', 1, field)
                expires, fields_expire = true, true
            else
                local expiry = redis.call('HPEXPIRETIME', key, 'FIELDS', 1, field)[1]
                redis.call('HPEXPIREAT', key, whole(expiry - by), 'FIELDS', 1, field)
            end
        end
    end
end

local function age_hashes()
    local cursor = '0'
    repeat
        local found = redis.call('SCAN', cursor, 'COUNT', 1000, 'TYPE', 'hash')
        cursor = found[1]
        for _, key in ipairs(found[2]) do age_fields(key) end
    until cursor == '0'
end

-- Scores are seconds, milliseconds or microseconds since 1970. Without a given unit, the magnitude of a score decides.
-- With one, a score that is not a time (-1, inf) stays.
local function age_scores(key, per_second)
    local members = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    for number = 1, #members, 2 do
        local score = tonumber(members[number + 1])
        local unit = per_second / 1000
        if unit == 0 then unit = (score > 1e14 and 1000) or (score > 1e11 and 1) or 0.001 end
        if per_second == 0 or (score > 0 and score < math.huge) then
            redis.call('ZADD', key, 'XX', string.format('%.17g', score - due_by * unit), members[number])
        end
    end
end

for number = 7, 6 + databases do
    redis.call('SELECT', ARGV[number])
    if has_field_ttls then age_hashes() end
    age_keys()
end
for number = 7 + databases, #ARGV, 3 do
    redis.call('SELECT', ARGV[number])
    local key, per_second = ARGV[number + 1], tonumber(ARGV[number + 2])
    if redis.call('TYPE', key).ok == 'zset' then age_scores(key, per_second) end
end

-- Wait until the expiry has passed, so that no client sees a key that has run out. Newer servers freeze TIME within a
-- script; there, the CPU time is used.
local from = now()
if expires then
    local clock = rawget(_G, 'os') and os.clock
    local started = clock and clock()
    local turns = 0
    repeat
        turns = turns + 1
    until now() > from + grace or (started and clock() > started + (grace + 1) / 1000) or turns > 1000000
end

return {(expires and 1 or 0) + (fields_expire and 2 or 0), whole(from + grace)}
