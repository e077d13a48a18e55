-- Writes a marker to each test database that is not empty: the names of its keys, for the check of the next lease.
-- ARGV: the marker's key, the largest number of keys and of bytes of names that a marker lists, and the databases.
-- A database that rejects its marker, for example because the server is full, does not keep the others from getting
-- theirs.
local marker, most, longest = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local failure
for number = 4, #ARGV do
    redis.call('SELECT', ARGV[number])
    local size = redis.call('DBSIZE')
    if size > 0 then
        local names = size <= most and cmsgpack.pack(redis.call('KEYS', '*')) or ''
        local reply = redis.pcall('SET', marker, #names <= longest and names or '')
        if reply.err then failure = reply end
    end
end
return failure
