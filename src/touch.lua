-- Meets every key, so that those that have ended are removed now, with the event `expired`. ARGV: the databases.
for _, database in ipairs(ARGV) do
    redis.call('SELECT', database)
    local cursor = '0'
    repeat
        cursor = redis.call('SCAN', cursor, 'COUNT', 1000)[1]
    until cursor == '0'
end
