-- Touches every key, so that the server removes expired ones now and publishes `expired`.
-- ARGV: 1 if hashes must be checked too, else 0; and the databases. The server hides expired hash fields at once but
-- removes them a moment later. Returns the number of hidden fields that are not removed yet.
local hidden = 0

for number = 2, #ARGV do
    redis.call('SELECT', ARGV[number])
    local cursor = '0'
    repeat
        cursor = redis.call('SCAN', cursor, 'COUNT', 1000)[1]
    until cursor == '0'
    repeat
        local found = ARGV[1] == '1' and redis.call('SCAN', cursor, 'COUNT', 1000, 'TYPE', 'hash') or {'0', {}}
        cursor = found[1]
        for _, key in ipairs(found[2]) do
            local visible = #redis.call('HKEYS', key)
            hidden = hidden + math.max(redis.call('HLEN', key) - visible, visible == 0 and 1 or 0)
        end
    until cursor == '0'
end

return hidden
