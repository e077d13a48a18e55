local redis, finish = (function(redis)
local rules, inner = {RULES}, INNER
local first_options, values, flags = {FIRST_OPTIONS}, {VALUES}, {FLAGS}
local applied, effective = 0, 0
local function upper(word) return string.upper(tostring(word)) end
local function options(words)
  local found, at = {}, first_options[upper(words[1])]
  if not at then return found, 3 end
  at = at + 1
  while words[at] do
    local name, length = upper(words[at]), nil
    if values[name] then
      length = 1 + values[name]
      if name == 'MAXLEN' or name == 'MINID' then
        if words[at + 1] == '=' or words[at + 1] == '~' then length = length + 1 end
        if upper(words[at + length]) == 'LIMIT' then length = length + 2 end
      end
    elseif name == 'LIMIT' then length = 3
    elseif flags[name] then length = 1
    else break end
    found[#found + 1] = {name = name, at = at, length = length}
    at = at + length
  end
  return found, at
end
local function has(found, names)
  for _, option in ipairs(found) do
    if string.find('|' .. names .. '|', '|' .. option.name .. '|', 1, true) then return true end
  end
  return false
end
local function fits(rule, found)
  for condition in string.gmatch(rule.when, '%S+') do
    local negated = string.match(condition, '^!(.+)$')
    if negated and has(found, negated) then return false end
    if not negated and not has(found, condition) then return false end
  end
  return true
end
local function filled(template, words, after)
  local out = {}
  for part in string.gmatch(template, '%S+') do
    local place = string.match(part, '^%$(.+)$')
    local from, every
    if place == 'items' then from, every = after, 1
    elseif place == 'items%' then from, every = after + 1, 2
    elseif place == 'fields' or place == 'pairs' then
      for at = 3, #words do
        if not from and upper(words[at]) == 'FIELDS' then from = at + 2 end
      end
      if not from then return nil end
      every = place == 'pairs' and 2 or 1
    elseif place then
      local index, suffix = string.match(place, '^(%d+)(.?)$')
      from = tonumber(index) + 1
      if suffix == '*' then every = 1 elseif suffix == '%' then every = 2 end
    end
    if not place then out[#out + 1] = part
    elseif every then
      for at = from, #words, every do out[#out + 1] = words[at] end
    elseif words[from] == nil then return nil
    else out[#out + 1] = words[from] end
  end
  return out
end
local function without(names, words, found)
  local dropped, kept = {}, {}
  for _, option in ipairs(found) do
    if string.find(names, '|' .. option.name .. '|', 1, true) then
      for at = option.at, option.at + option.length - 1 do dropped[at] = true end
    end
  end
  for at, word in ipairs(words) do
    if not dropped[at] then kept[#kept + 1] = word end
  end
  return kept
end
local function longer(words, at, unit)
  local time, now = tonumber(words[at]), 0
  if string.find(unit, 'AT$') then
    local clock = redis.call('TIME')
    local is_in_milliseconds = string.find(unit, 'PX') or string.find(unit, 'PEX')
    now = is_in_milliseconds and clock[1] * 1000 + math.floor(clock[2] / 1000) or tonumber(clock[1])
  end
  if not time or time <= now then return nil end
  local changed = {unpack(words)}
  changed[at] = string.format('%.0f', (time - now) * 60 + now)
  return changed
end
local changes = {
  To = function(rule, words, _, after) return filled(rule.words, words, after) end,
  Without = function(rule, words, found) return without(rule.words, words, found) end,
  LongerOption = function(rule, words, found)
    for _, option in ipairs(found) do
      if string.find(rule.words, '|' .. option.name .. '|', 1, true) then
        return longer(words, option.at + 1, option.name)
      end
    end
  end,
  LongerArgument = function(_, words) return longer(words, 3, upper(words[1])) end,
}
local function number(rule, words)
  local kind, from, step = unpack(rule.number)
  if kind == 'Is' then return from end
  if kind == 'Words' then return math.floor((#words - from) / step) end
  local value = tonumber(words[from + 1])
  return value and (kind == 'Negative' and -value or value)
end
local function mutation(words)
  local name = upper(words[1])
  if inner and name ~= inner then return nil end
  local found, after = options(words)
  for _, rule in ipairs(rules) do
    if string.find(rule.commands, ' ' .. name .. ' ', 1, true) and fits(rule, found) then
      local forward = changes[rule.change](rule, words, found, after)
      local of = number(rule, words)
      local first = rule.first ~= '' and filled(rule.first, words, after) or nil
      if forward and of then return rule, forward, of, first end
    end
  end
end
local function list(reply) return type(reply) == 'table' and (reply.set or reply.map or reply) or {} end
local function is_list(reply) return type(reply) == 'table' and not (reply.ok or reply.err or reply.double) end
local function is_nil(reply) return reply == nil or reply == false end
local function something(reply)
  if is_list(reply) then
    for _, element in pairs(list(reply)) do
      if something(element) then return true end
    end
    return false
  end
  if type(reply) == 'number' then return reply > 0 end
  return not is_nil(reply) and not (type(reply) == 'table' and reply.err)
end
local function lacks(reply)
  if is_list(reply) then
    for _, element in pairs(list(reply)) do
      if lacks(element) then return true end
    end
    return false
  end
  return not something(reply)
end
local function count(reply, is_it)
  local counted = 0
  for _, element in ipairs(list(reply)) do
    if is_it(element) then counted = counted + 1 end
  end
  return counted
end
local function sum(reply)
  local added = 0
  for _, element in ipairs(list(reply)) do added = added + (tonumber(element) or 0) end
  return added
end
local function each(reply, of)
  local out = {}
  for at, element in ipairs(list(reply)) do out[at] = of(element) end
  return out
end
local answers = {
  Same = function(_, reply) return reply end,
  Ok = function() return {ok = 'OK'} end,
  Number = function(of) return of end,
  Plus = function(of, reply) return is_nil(reply) and of or of + tonumber(reply) end,
  Minus = function(of, reply) return of - (tonumber(reply) or 0) end,
  IsPositive = function(_, reply) return something(reply) and 1 or 0 end,
  IsSome = function(_, reply) return is_nil(reply) and 0 or 1 end,
  Found = function(_, reply) return count(reply, function(element) return not is_nil(element) end) end,
  Missing = function(_, reply) return count(reply, is_nil) end,
  Sum = function(_, reply) return sum(reply) end,
  MinusSum = function(of, reply) return of - sum(reply) end,
  EachSet = function(_, reply) return each(reply, function(element) return is_nil(element) and -2 or 1 end) end,
  Second = function(_, reply) return list(reply)[2] end,
  OkIfZero = function(_, reply) return reply == 0 and {ok = 'OK'} end,
  OkUnlessZero = function(_, reply) return reply ~= 0 and {ok = 'OK'} end,
  Nothing = function(_, reply)
    if not is_list(reply) then return false end
    return reply.map and {map = {}} or reply.set and {set = {}} or {}
  end,
  Nils = function(_, reply) return each(reply, function() return false end) end,
}
local function same(one, other)
  if type(one) ~= 'table' or type(other) ~= 'table' then return one == other end
  for key, value in pairs(one) do
    if not same(value, other[key]) then return false end
  end
  for key in pairs(other) do
    if one[key] == nil then return false end
  end
  return true
end
local effects = {
  Always = function() return true end,
  IfReply = function(_, _, reply) return something(reply) end,
  IfAnswer = function(_, _, _, answer) return something(answer) end,
  IfFirst = function(_, first) return something(first) end,
  UnlessFirst = function(_, first) return lacks(first) end,
  IfFirstIs = function(of, first) return first == of end,
  IfReplyAtLeast = function(of, _, reply) return type(reply) == 'number' and reply >= of end,
  IfOther = function(_, first, reply) return not same(first, reply) end,
}
local function wrapper(call)
  return function(...)
    local words = {...}
    if #words == 0 then return call(...) end
    local rule, forward, of, first = mutation(words)
    if not rule then return call(...) end
    local first_reply = first and call(unpack(first))
    local reply = call(unpack(forward))
    if rule.answer == 'Plus' and not is_nil(reply) and not tonumber(reply) then return call(...) end
    applied = applied + 1
    if type(reply) == 'table' and reply.err then return reply end
    local answer = answers[rule.answer](of, reply)
    local is_effective = effects[rule.effect[1]]
    if is_effective(rule.effect[2] or of, first_reply, reply, answer) then effective = effective + 1 end
    return answer
  end
end
local changed = setmetatable({call = wrapper(redis.call), pcall = wrapper(redis.pcall)}, {__index = redis})
return changed, function(reply) return {applied, effective, reply} end
end)(redis)
local server = redis
return finish((function()
