-- Ages the test databases: all at once, since nobody else is served meanwhile.
-- ARGV: milliseconds for keys and for due times; 1 where the server tells the time of a key's end (Redis 7, Valkey); 1
-- where fields of hashes have an end (Redis 7.4, Valkey 9); the milliseconds that what ends is given; how many
-- databases, and each; then of each sorted set of times: database, key, and how many units a second has (0: as it looks).
-- Returns 0 where nothing has ended, 1 where a key has, 3 where a field has; and when, in milliseconds since 1970, all of
-- them have ended.

local by, due_by, tells_end, has_fields = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1', ARGV[4] == '1'
local last, databases = tonumber(ARGV[5]), tonumber(ARGV[6])
local ended, fields_ended = false, false

local function now()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- All digits: a number is sent with an exponent where it is large, which is no time.
local function whole(number)
    return string.format('%.0f', number)
end

-- What is left, and when it ends. Where the server does not tell that, the clock must stand still between the two
-- questions.
local function left_and_end(key)
    if tells_end then return redis.call('PTTL', key), redis.call('PEXPIRETIME', key) end
    local before, left
    repeat
        before, left = now(), redis.call('PTTL', key)
    until now() == before
    return left, before + left
end

-- What ends is set to end in a moment. An end in the past would delete it with the event `del` instead of
-- `expired`.
local function age_key(key)
    local left, ends = left_and_end(key)
    if left < 0 then return end
    if left <= by + last then
        redis.call('PEXPIRE', key, last)
        ended = true
    else
        redis.call('PEXPIREAT', key, whole(ends - by))
    end
end

-- Most keys are not about to end: that takes one question less.
local far = now() + 60000 + by

local function age_keys()
    for _, key in ipairs(redis.call('KEYS', '*')) do
        local ends = tells_end and redis.call('PEXPIRETIME', key) or 0
        if ends > far then
            redis.call('PEXPIREAT', key, whole(ends - by))
        elseif ends >= 0 then
            age_key(key)
        end
    end
end

local function age_fields(key)
    for _, field in ipairs(redis.call('HKEYS', key)) do
        local left = redis.call('HPTTL', key, 'FIELDS', 1, field)[1]
        if left >= 0 then
            if left <= by + last then
                redis.call('HPEXPIRE', key, last, 'FIELDS', 1, field)
                ended, fields_ended = true, true
            else
                local ends = redis.call('HPEXPIRETIME', key, 'FIELDS', 1, field)[1]
                redis.call('HPEXPIREAT', key, whole(ends - by), 'FIELDS', 1, field)
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

-- Times are seconds, milliseconds or microseconds since 1970: where no unit is given, the size of the score tells it.
-- Where one is given, a score that is not a time (-1, inf) stays.
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
    if has_fields then age_hashes() end
    age_keys()
end
for number = 7 + databases, #ARGV, 3 do
    redis.call('SELECT', ARGV[number])
    if redis.call('TYPE', ARGV[number + 1]).ok == 'zset' then age_scores(ARGV[number + 1], tonumber(ARGV[number + 2])) end
end

-- Until that moment is over, so that nobody sees what has ended. Newer servers stop the clock for a script: there, the
-- processor's own time tells.
local from = now()
if ended then
    local clock = rawget(_G, 'os') and os.clock
    local started = clock and clock()
    local turns = 0
    repeat
        turns = turns + 1
    until now() > from + last or (started and clock() > started + (last + 1) / 1000) or turns > 1000000
end

return {(ended and 1 or 0) + (fields_ended and 2 or 0), whole(from + last)}
