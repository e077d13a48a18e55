-- Checks whose keys are in the test databases and, if all are known, takes the databases for a lease. One script does
-- both, so that no key can be written in between. The markers of databases that are not emptied stay until the caller
-- has written a note that the lease has begun.
-- ARGV: the marker's key and that of earlier versions; 1 to empty both databases; the largest number of keys to check;
-- then each database with its state: '' for unknown, 'open' if a lease on it has begun and was never released, 'adopt'
-- if foreign keys are accepted.
-- Returns 1 if the databases were taken, and for each of them: the number of foreign keys, the name of one, and 1 if
-- the marker states that there were too many keys to list.
local marker, old_marker, clean, most = ARGV[1], ARGV[2], ARGV[3] == '1', tonumber(ARGV[4])

local function is_text(key)
    return redis.call('TYPE', key).ok == 'string'
end

-- Returns the names that the marker lists, or nil, and whether there were too many to list. Any other value at the
-- marker's key is foreign.
local function left_names()
    if not is_text(marker) then return nil, false end
    local text = redis.call('GET', marker)
    if text == '' then return {[marker] = true}, true end
    local readable, names = pcall(cmsgpack.unpack, text)
    if not readable or type(names) ~= 'table' then return nil, false end
    local known = {[marker] = true}
    for _, name in ipairs(names) do known[name] = true end
    return known, false
end

local function foreign_keys(known)
    if is_text(old_marker) and redis.call('STRLEN', old_marker) == 0 then known[old_marker] = true end
    local size = redis.call('DBSIZE')
    if size > most + 2 then return size, redis.call('RANDOMKEY') or '' end
    local count, example = 0, ''
    for _, key in ipairs(redis.call('KEYS', '*')) do
        if not known[key] then count, example = count + 1, key end
    end
    return count, example
end

local taken, found = 1, {}
for number = 5, #ARGV, 2 do
    redis.call('SELECT', ARGV[number])
    local known, too_many = left_names()
    local count, example = 0, ''
    -- A marker is newer than the note of a lease that was never released, so it takes precedence.
    if known or ARGV[number + 1] ~= 'open' then count, example = foreign_keys(known or {}) end
    if count > 0 and ARGV[number + 1] ~= 'adopt' then taken = 0 end
    found[#found + 1] = {count, example, too_many and 1 or 0}
end
if taken == 1 then
    for number = 5, #ARGV, 2 do
        redis.call('SELECT', ARGV[number])
        if clean then redis.call('FLUSHDB') end
    end
end
return {taken, found}
