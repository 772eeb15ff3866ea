//! Scripts that the server runs atomically.
//!
//! `p` stands for the prefix of the store, with its hash tag:
//!
//! | key | holds |
//! | --- | --- |
//! | `p:s:<session>` | hash: version, text. Ends with the session |
//! | `p:m:<session>:<stream>` | hash: the number of the newest event, whether the stream is over |
//! | `p:e:<session>:<stream>` | list: events, each with its number before it |
//! | `p:x:<session>` | set: the session's streams |
//! | `p:t:<task>` | hash: version, owner, text, number, whether it is over, summary and its version. Ends with the task |
//! | `p:due:` | sorted set: tasks by the time at which they are due |
//! | `p:end:` | sorted set: tasks and their owners by the time at which they end |
//! | `p:o:<owner>` | sorted set: tasks by number |
//! | `p:b:<owner>` | hash: bytes of the owner's tasks; the entry with an empty name is their total |
//! | `p:f:<owner>` | sorted set: the owner's tasks that are over, by number |
//! | `p:n:` | the number of the newest task |
//! | `p:c:<server>` | hash: version, text of credentials |
//! | `p:turn:<server>` | the holder of the lock. Ends with it |
//! | `p:key:state` | the shared key |
//!
//! Tasks expire by themselves, with their keys; their remaining entries in the indexes are removed where a
//! script meets them, and by the sweep. Work is bounded by the amount that is requested, and by the amount
//! that is removed once.

use redis::Script;

const NOW: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
";

/// KEYS: task, due. ARGV: id, version, text, due, over, summary. Writes a version of a task, and the time at
/// which it is due.
const WRITE: &str = "
local function write()
    redis.call('HSET', KEYS[1], 'v', ARGV[2], 't', ARGV[3], 'f', ARGV[5], 's', ARGV[6], 'sv', ARGV[2])
    if ARGV[4] == '' then
        redis.call('ZREM', KEYS[2], ARGV[1])
    else
        redis.call('ZADD', KEYS[2], now + tonumber(ARGV[4]), ARGV[1])
    end
end
";

/// Removes a task and its entries in the indexes. `p`: the prefix of the store.
const FORGET: &str = "
local function forget(p, id, owner)
    local sizes = p .. 'b:' .. owner
    local bytes = redis.call('HGET', sizes, id)
    if bytes then
        redis.call('HDEL', sizes, id)
        redis.call('HINCRBY', sizes, '', -tonumber(bytes))
        if redis.call('HLEN', sizes) == 1 then redis.call('DEL', sizes) end
    end
    redis.call('ZREM', p .. 'f:' .. owner, id)
    redis.call('ZREM', p .. 'o:' .. owner, id)
    redis.call('ZREM', p .. 'due:', id)
    redis.call('ZREM', p .. 'end:', id .. '\\0' .. owner)
    return redis.call('DEL', p .. 't:' .. id)
end
";

/// Counts a task of so many bytes as its owner's, and adds it to the owner's index of tasks that are over if
/// `over`.
const COUNT: &str = "
local function count(p, id, owner, bytes, over)
    local sizes = p .. 'b:' .. owner
    local known = redis.call('HGET', sizes, id)
    redis.call('HSET', sizes, id, bytes)
    redis.call('HINCRBY', sizes, '', bytes - tonumber(known or '0'))
    if over == '1' then
        redis.call('ZADD', p .. 'f:' .. owner, redis.call('HGET', p .. 't:' .. id, 'n'), id)
    end
end
";

/// Removes tasks of an owner that are over, the oldest first, until another task of so many bytes has room;
/// returns whether it has. Without room nothing is removed, unless `must` requires to remove what is
/// possible. Expired tasks count until they are swept, or met here. `most` and `most_bytes` may be empty: any
/// number.
const ROOM: &str = "
local function room(p, id, owner, bytes, most, most_bytes, must)
    most, most_bytes = tonumber(most) or math.huge, tonumber(most_bytes) or math.huge
    local sizes, over = p .. 'b:' .. owner, p .. 'f:' .. owner
    local tasks = math.max(0, redis.call('HLEN', sizes) - 1)
    local total = tonumber(redis.call('HGET', sizes, '') or '0') + bytes
    local known = redis.call('HGET', sizes, id)
    if known then
        total = total - known
    else
        tasks = tasks + 1
    end
    local forgotten, place = {}, 0
    while tasks > most or total > most_bytes do
        local other = redis.call('ZRANGE', over, place, place)[1]
        if not other then break end
        place = place + 1
        if other ~= id then
            forgotten[#forgotten + 1] = other
            tasks = tasks - 1
            total = total - tonumber(redis.call('HGET', sizes, other) or '0')
        end
    end
    local fits = tasks <= most and total <= most_bytes
    if fits or must then
        for _, other in ipairs(forgotten) do forget(p, other, owner) end
    end
    return fits
end
";

/// KEYS: task, due, end, tasks of the owner, number. ARGV: id, version, text, due, over, summary, the prefix
/// of the store, most tasks and bytes of the owner, owner, keep. 2: there is no room.
const INSERT: &str = "
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local bytes = #ARGV[3] + #ARGV[6]
if not room(ARGV[7], ARGV[1], ARGV[10], bytes, ARGV[8], ARGV[9], false) then return 2 end
local number = redis.call('INCR', KEYS[5])
redis.call('HSET', KEYS[1], 'o', ARGV[10], 'n', number)
write()
count(ARGV[7], ARGV[1], ARGV[10], bytes, ARGV[5])
redis.call('ZADD', KEYS[4], number, ARGV[1])
if ARGV[11] ~= '' then
    redis.call('ZADD', KEYS[3], now + tonumber(ARGV[11]), ARGV[1] .. '\\0' .. ARGV[10])
    redis.call('PEXPIREAT', KEYS[1], now + tonumber(ARGV[11]))
end
return 1
";

/// KEYS: task, due. ARGV: id, version, text, due, over, summary, the prefix of the store, most tasks and
/// bytes of the owner.
const REPLACE: &str = "
local known = redis.call('HMGET', KEYS[1], 'v', 'o')
if not known[1] or tonumber(known[1]) + 1 ~= tonumber(ARGV[2]) then return 0 end
write()
local bytes = #ARGV[3] + #ARGV[6]
if ARGV[5] == '1' then room(ARGV[7], ARGV[1], known[2], bytes, ARGV[8], ARGV[9], true) end
count(ARGV[7], ARGV[1], known[2], bytes, ARGV[5])
return 1
";

/// KEYS: task. ARGV: id, the prefix of the store.
const REMOVE: &str = "
local owner = redis.call('HGET', KEYS[1], 'o')
if not owner then return 0 end
return forget(ARGV[2], ARGV[1], owner)
";

/// Returns the row of a task for lists: version, owner and summary, or the text if no summary is of its
/// version: processes of earlier versions write none. Nil: there is no such task.
const SUMMARY: &str = "
local function summary(key)
    local task = redis.call('HMGET', key, 'v', 'o', 's', 'sv')
    if not task[1] then return nil end
    if task[4] ~= task[1] or task[3] == '' then task[3] = redis.call('HGET', key, 't') end
    return task
end
";

/// Returns tasks of a sorted set from `low` to `high`, as id, version, owner and summary. `tasks`: the prefix
/// of the keys of tasks.
const RANGE: &str = "
local function range(index, low, high, tasks, limit)
    local found, count = {}, 0
    while count < limit do
        local ids = redis.call('ZRANGEBYSCORE', index, low, high, 'LIMIT', count, math.min(limit - count, 500))
        if #ids == 0 then break end
        for _, id in ipairs(ids) do
            local task = summary(tasks .. id)
            if task then
                count = count + 1
                found[#found + 1] = id
                for part = 1, 3 do found[#found + 1] = task[part] end
            else
                redis.call('ZREM', index, id)
            end
        end
    end
    return found
end
";

/// KEYS: due. ARGV: the prefix of the keys of tasks, limit, optionally the due time of the last task of the
/// previous page, and its id. Returns tasks as id, version, owner and summary, then the position of the next
/// page: the time and the id of the last one here, or nothing.
const DUE: &str = "
local place = 0
if ARGV[3] then
    local score = redis.call('ZSCORE', KEYS[1], ARGV[4])
    if score and tonumber(score) == tonumber(ARGV[3]) then
        place = redis.call('ZRANK', KEYS[1], ARGV[4]) + 1
    else
        place = redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. ARGV[3])
    end
end
local found, last, limit = {}, nil, tonumber(ARGV[2])
while true do
    local due = redis.call('ZRANGE', KEYS[1], place, place, 'WITHSCORES')
    if not due[1] or tonumber(due[2]) > now then return {found, {}} end
    local task = summary(ARGV[1] .. due[1])
    if not task then
        redis.call('ZREM', KEYS[1], due[1])
    elseif #found == 4 * limit then
        return {found, last or {}}
    else
        place = place + 1
        last = {due[2], due[1]}
        found[#found + 1] = due[1]
        for part = 1, 3 do found[#found + 1] = task[part] end
    end
end
";

/// KEYS: due. ARGV: the prefix of the keys of tasks.
const NEXT_DUE: &str = "
for _ = 1, 500 do
    local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
    if not first[1] then return -1 end
    if redis.call('EXISTS', ARGV[1] .. first[1]) == 1 then return math.max(0, tonumber(first[2]) - now) end
    redis.call('ZREM', KEYS[1], first[1])
end
return 0
";

/// KEYS: tasks of the owner. ARGV: the prefix of the keys of tasks, limit, optionally an anchor. Nil: the
/// anchor has expired.
const LIST: &str = "
local low = '-inf'
if ARGV[3] then
    local number = redis.call('ZSCORE', KEYS[1], ARGV[3])
    if not number or redis.call('EXISTS', ARGV[1] .. ARGV[3]) == 0 then return false end
    low = '(' .. number
end
return range(KEYS[1], low, '+inf', ARGV[1], tonumber(ARGV[2]))
";

/// KEYS: end. ARGV: the prefix of the store.
const SWEEP: &str = "
local swept = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 200)
local removed = 0
for _, member in ipairs(swept) do
    local at = string.find(member, '\\0', 1, true)
    local id, owner = string.sub(member, 1, at - 1), string.sub(member, at + 1)
    if redis.call('EXISTS', ARGV[1] .. 't:' .. id) == 0 then
        forget(ARGV[1], id, owner)
        removed = removed + 1
    end
end
return removed
";

/// KEYS: session. ARGV: text, keep.
const INSERT_SESSION: &str = "
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'v', 1, 't', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
";

/// KEYS: session. ARGV: version, text.
const REPLACE_SESSION: &str = "
if redis.call('HGET', KEYS[1], 'v') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 't', ARGV[2])
redis.call('HINCRBY', KEYS[1], 'v', 1)
return 1
";

/// KEYS: session. ARGV: keep. A single command, but only scripts have the time limits of the others.
const TOUCH_SESSION: &str = "return redis.call('PEXPIRE', KEYS[1], ARGV[1])";

/// KEYS: session.
const LOAD: &str = "return redis.call('HMGET', KEYS[1], 'v', 't')";

/// KEYS: task.
const LOAD_TASK: &str = "return redis.call('HMGET', KEYS[1], 'v', 'o', 't', 'f', 's', 'sv')";

/// KEYS: task.
const LOAD_SUMMARY: &str = "
local task = summary(KEYS[1])
if not task then return false end
return {task[1], task[2], task[3]}
";

/// KEYS: the key of a single object.
const DELETE: &str = "return redis.call('DEL', KEYS[1])";

/// KEYS: stream, its events, the streams of the session. ARGV: stream, over, oldest, keep, then number and
/// message of each event. Numbers stay in the form in which they were written, because those of Lua end at
/// 2^53.
const APPEND: &str = "
local newest = redis.call('HGET', KEYS[1], 'newest')
if not newest then
    redis.call('DEL', KEYS[2])
    newest = '0'
    redis.call('HSET', KEYS[1], 'over', 0)
end
for place = 5, #ARGV, 2 do
    if tonumber(ARGV[place]) > tonumber(newest) then
        newest = ARGV[place]
        redis.call('RPUSH', KEYS[2], newest .. ' ' .. ARGV[place + 1])
    end
end
redis.call('HSET', KEYS[1], 'newest', newest)
if ARGV[2] == '1' then redis.call('HSET', KEYS[1], 'over', 1) end
while true do
    local first = redis.call('LINDEX', KEYS[2], 0)
    if not first or tonumber(string.match(first, '^%d+')) >= tonumber(ARGV[3]) then break end
    redis.call('LPOP', KEYS[2])
end
redis.call('SADD', KEYS[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
if redis.call('PTTL', KEYS[3]) < tonumber(ARGV[4]) then redis.call('PEXPIRE', KEYS[3], ARGV[4]) end
return 1
";

/// KEYS: stream, its events. ARGV: the number of the last known event. Nil: there is no stream. A list has no
/// gaps, so the index of the known event follows from its number; if it is not there, the reader has to read
/// all of them.
const READ: &str = "
local known = redis.call('HMGET', KEYS[1], 'newest', 'over')
if not known[1] then return false end
local start = 0
local first = redis.call('LINDEX', KEYS[2], 0)
if first then
    local place = tonumber(ARGV[1]) - tonumber(string.match(first, '^%d+'))
    local there = place >= 0 and redis.call('LINDEX', KEYS[2], place)
    if there and string.match(there, '^%d+') == ARGV[1] then start = place + 1 end
end
return {known[1], known[2], redis.call('LRANGE', KEYS[2], start, -1)}
";

/// KEYS: the streams of a session. ARGV: the prefix of the keys of its streams, the prefix of the keys of
/// their events, optionally one stream.
const REMOVE_STREAMS: &str = "
local streams = ARGV[3] and {ARGV[3]} or redis.call('SMEMBERS', KEYS[1])
for _, stream in ipairs(streams) do
    redis.call('DEL', ARGV[1] .. stream, ARGV[2] .. stream)
    redis.call('SREM', KEYS[1], stream)
end
return #streams
";

/// KEYS: credentials. ARGV: version, text. A first record replaces none.
const SWAP: &str = "
local known = tonumber(redis.call('HGET', KEYS[1], 'v') or '0')
if known ~= math.max(0, tonumber(ARGV[1]) - 1) then return 0 end
redis.call('HSET', KEYS[1], 'v', ARGV[1], 't', ARGV[2])
return 1
";

/// KEYS: turn. ARGV: holder, time to live.
const TAKE: &str = "
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0
";

/// KEYS: turn. ARGV: holder, time to live.
const RENEW: &str = "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
";

/// KEYS: turn. ARGV: holder.
const RELEASE: &str = "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
";

/// KEYS: the shared key. ARGV: its value if there is none.
const STATE_KEY: &str = "
redis.call('SETNX', KEYS[1], ARGV[1])
return redis.call('GET', KEYS[1])
";

macro_rules! scripts {
    ($($name:ident: $($part:expr),+;)+) => {
        /// The scripts. Each is sent once and then named by its digest.
        pub(super) struct Scripts { $(pub $name: Script,)+ }

        impl Scripts {
            pub(super) fn new() -> Scripts {
                Scripts { $($name: Script::new(&[$($part),+].concat()),)+ }
            }
        }
    };
}

scripts! {
    insert: NOW, WRITE, FORGET, COUNT, ROOM, INSERT;
    replace: NOW, WRITE, FORGET, COUNT, ROOM, REPLACE;
    remove: FORGET, REMOVE;
    due: NOW, SUMMARY, DUE;
    next_due: NOW, NEXT_DUE;
    list: SUMMARY, RANGE, LIST;
    sweep: NOW, FORGET, SWEEP;
    insert_session: INSERT_SESSION;
    replace_session: REPLACE_SESSION;
    touch_session: TOUCH_SESSION;
    load: LOAD;
    load_task: LOAD_TASK;
    load_summary: SUMMARY, LOAD_SUMMARY;
    delete: DELETE;
    append: APPEND;
    read: READ;
    remove_streams: REMOVE_STREAMS;
    swap: SWAP;
    take: TAKE;
    renew: RENEW;
    release: RELEASE;
    state_key: STATE_KEY;
}
