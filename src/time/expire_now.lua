-- Meets every key, so that those that have ended are removed now, with the event `expired`. ARGV: 1 where hashes are to
-- be looked at, whose ended fields are hidden at once and removed a moment later; and the databases. Returns how many
-- such fields there still are.
local hiding = 0

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
            local shown = #redis.call('HKEYS', key)
            hiding = hiding + math.max(redis.call('HLEN', key) - shown, shown == 0 and 1 or 0)
        end
    until cursor == '0'
end

return hiding
