-- Leaves in each test database that is not empty the names of the keys that are there, for the next lease to know them.
-- ARGV: the marker's key, how many keys and how many bytes of names are remembered at the most, and the databases.
-- A database that does not take its marker (the server is full, say) keeps no other from taking its own.
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
