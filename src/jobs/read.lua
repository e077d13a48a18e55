-- Reads places of jobs and the bodies of their entries, and optionally removes the waiting jobs, in one atomic step.
-- ARGV: "1" to remove; "1" to list all keys; the queue whose jobs are wanted from shared places, or "" for all. For
-- each place: type, key, consumer group, JSON field that names the queue, number of bodies. For each body: type, key or
-- prefix, separator before which the id ends. Returns the keys, each followed by its type; and for each place the
-- values, their scores (for a stream: 1 if the entry is pending), one column of results for each body and, if they are
-- removed, one column of TTLs in milliseconds for each body.

local take, list_keys, queue = ARGV[1] == '1', ARGV[2] == '1', ARGV[3]
local at = 3

local function argument()
    at = at + 1
    return ARGV[at]
end

local function read_stream(key, group)
    local found = {values = {}, scores = {}, fields = {}}
    local function add(entries, is_pending)
        for _, entry in ipairs(entries) do
            -- A pending entry can have been deleted.
            if entry[2] then
                table.insert(found.values, entry[1])
                table.insert(found.scores, is_pending)
                table.insert(found.fields, entry[2])
            end
        end
    end
    local after = nil
    if group ~= '' and redis.call('EXISTS', key) == 1 then
        for _, info in ipairs(redis.call('XINFO', 'GROUPS', key)) do
            local facts = {}
            for number = 1, #info, 2 do facts[info[number]] = info[number + 1] end
            if facts.name == group then after = facts['last-delivered-id'] end
        end
    end
    if after then
        local from = '-'
        repeat
            local pending = redis.call('XPENDING', key, group, from, '+', 1000)
            for _, one in ipairs(pending) do
                add(redis.call('XRANGE', key, one[1], one[1]), '1')
                from = '(' .. one[1]
            end
        until #pending < 1000
        add(redis.call('XRANGE', key, '(' .. after, '+'), '0')
    else
        add(redis.call('XRANGE', key, '-', '+'), '0')
    end
    return found
end

local function read(place)
    local key = place.key
    if place.kind == 'list' then return {values = redis.call('LRANGE', key, 0, -1), scores = {}} end
    if place.kind == 'set' then return {values = redis.call('SMEMBERS', key), scores = {}} end
    if place.kind == 'hash' then return {values = redis.call('HVALS', key), scores = {}} end
    if place.kind == 'stream' then return read_stream(key, place.group) end
    local found = {values = {}, scores = {}}
    local members = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    for number = 1, #members, 2 do
        table.insert(found.values, members[number])
        table.insert(found.scores, members[number + 1])
    end
    return found
end

local function id_of(body, value)
    if body.ends == '' then return value end
    local separator = string.find(value, body.ends, 1, true)
    return separator and string.sub(value, 1, separator - 1) or value
end

local function read_body(body, value)
    local id = id_of(body, value)
    if body.kind == 'field' then return redis.call('HGET', body.key, id) end
    if body.kind == 'string' then return redis.call('GET', body.key .. id) end
    return redis.call('HGETALL', body.key .. id)
end

-- Returns a negative number if the body has no TTL, or none that other jobs don't share.
local function ttl_of(body, value)
    return body.kind == 'field' and -1 or redis.call('PTTL', body.key .. id_of(body, value))
end

local function is_wanted(place, value)
    if place.field == '' or queue == '' then return true end
    local is_json, job = pcall(cjson.decode, value)
    return is_json and type(job) == 'table' and job[place.field] == queue
end

-- Drops the jobs of other queues from the reply.
local function keep_wanted(place, found)
    if place.field == '' or queue == '' then return end
    local values, scores = {}, {}
    for number, value in ipairs(found.values) do
        if is_wanted(place, value) then
            table.insert(values, value)
            table.insert(scores, found.scores[number])
        end
    end
    found.values, found.scores = values, scores
end

local function remove(place, found)
    for number, value in ipairs(found.values) do
        local waits = place.kind ~= 'stream' or found.scores[number] == '0'
        if place.kind == 'zset' then redis.call('ZREM', place.key, value) end
        if place.kind == 'set' then redis.call('SREM', place.key, value) end
        if place.kind == 'stream' and waits then redis.call('XDEL', place.key, value) end
        if place.kind == 'list' and place.field ~= '' then redis.call('LREM', place.key, 1, value) end
        for _, body in ipairs(waits and place.bodies or {}) do
            local id = id_of(body, value)
            if body.kind == 'field' then redis.call('HDEL', body.key, id) else redis.call('DEL', body.key .. id) end
        end
    end
    if (place.kind == 'list' and place.field == '') or place.kind == 'hash' then redis.call('DEL', place.key) end
end

local places = {}
while at < #ARGV do
    local place = {kind = argument(), key = argument(), group = argument(), field = argument(), bodies = {}}
    for _ = 1, tonumber(argument()) do
        table.insert(place.bodies, {kind = argument(), key = argument(), ends = argument()})
    end
    table.insert(places, place)
end

-- Reads everything before removing anything, so that an error changes nothing.
local answer, all = {}, {}
for _, place in ipairs(places) do
    local found = read(place)
    keep_wanted(place, found)
    local bodies, ttls = {}, {}
    for _, body in ipairs(place.bodies) do
        local column, ttls_of_body = {}, {}
        for number, value in ipairs(found.values) do
            column[number] = read_body(body, value)
            if take then ttls_of_body[number] = ttl_of(body, value) end
        end
        table.insert(bodies, column)
        table.insert(ttls, ttls_of_body)
    end
    if found.fields then table.insert(bodies, found.fields) end
    table.insert(answer, {found.values, found.scores, bodies, ttls})
    table.insert(all, found)
end
if take then
    for number, place in ipairs(places) do remove(place, all[number]) end
end

local keys = {}
for _, key in ipairs(list_keys and redis.call('KEYS', '*') or {}) do
    table.insert(keys, key)
    table.insert(keys, redis.call('TYPE', key).ok)
end
return {keys, answer}
