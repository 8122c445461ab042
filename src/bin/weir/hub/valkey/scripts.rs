//! What runs inside the store: each script is one step that is done or not, and each write carries the number of the hub that is active.
//!
//! Keys of a policy: `lease` (who is active, runs out), `meta` (a hash), `journal` (a stream), `page:GENERATION:N`. Fields of `meta`:
//!
//! | field | is |
//! |---|---|
//! | `fence` | number of the last hub that became active |
//! | `next`, `tag` | position of the next group; what the last one's id ends with |
//! | `checkpoint` | generation, pages and position of the checkpoint |
//! | `writing` | generation of a checkpoint that is not whole |
//! | `seed`, `layout` | check of the seed; version of all this |

/// Version of the layout.
pub const LAYOUT: &str = "1";

/// Becomes active. KEYS lease, meta. ARGV holder, milliseconds, seed, least fence, layout, take an empty
/// store?, is the caller empty?
pub const ACQUIRE: &str = "#!lua flags=allow-oom
local holder = redis.call('GET', KEYS[1])
local m = redis.call('HMGET', KEYS[2], 'fence', 'next', 'tag', 'seed', 'layout', 'checkpoint')
if m[5] and m[5] ~= ARGV[5] then return {'LAYOUT', m[5]} end
if m[4] and m[4] ~= ARGV[3] then return {'SEED', m[4]} end
if holder and holder ~= ARGV[1] then return {'HELD', holder, m[1], m[2], m[3], m[6]} end
if not m[1] and ARGV[4] ~= '0' and ARGV[6] == '0' then return {'EMPTY'} end
local fence = string.format('%.0f', math.max(tonumber(m[1] or '0'), tonumber(ARGV[4])) + 1)
redis.call('HSET', KEYS[2], 'fence', fence, 'seed', ARGV[3], 'layout', ARGV[5])
if not m[2] and ARGV[7] == '1' then
  redis.call('HSET', KEYS[2], 'next', '0', 'tag', '0')
  m[2], m[3] = '0', '0'
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {'MINE', fence, m[2], m[3]}";

/// Renews the lease. KEYS lease, meta. ARGV holder, milliseconds, fence, seed, layout. A store that was
/// emptied, or is a replica that was behind, knows an older hub or none: the greater number is kept.
pub const RENEW: &str = "#!lua flags=allow-oom
local holder = redis.call('GET', KEYS[1])
local m = redis.call('HMGET', KEYS[2], 'fence', 'next')
local known = tonumber(m[1] or '0')
if known > tonumber(ARGV[3]) then return {'FENCED', m[1]} end
if known == tonumber(ARGV[3]) and holder and holder ~= ARGV[1] then return {'FENCED', m[1]} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if m[1] == ARGV[3] then return {'OK', m[2]} end
redis.call('HSET', KEYS[2], 'fence', ARGV[3], 'seed', ARGV[4], 'layout', ARGV[5])
return {'BACK', m[2]}";

/// Ends the lease. KEYS lease. ARGV holder.
pub const RELEASE: &str = "#!lua flags=allow-oom
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return {'OK'}";

/// Writes a group. KEYS meta, journal. ARGV fence, position, position + 1, tag, group. The same call twice
/// has one effect. A call with another tag replaces what an attempt of unknown outcome left there.
pub const APPEND: &str = "#!lua
local m = redis.call('HMGET', KEYS[1], 'fence', 'next', 'tag')
if m[1] ~= ARGV[1] then return {'FENCED', m[1]} end
if m[2] == ARGV[3] and m[3] == ARGV[4] then return {'OK'} end
if m[2] ~= ARGV[2] and m[2] ~= ARGV[3] then return {'LOST', m[2]} end
redis.call('XADD', KEYS[2], ARGV[3] .. '-' .. ARGV[4], 'g', ARGV[5])
if m[2] == ARGV[3] then redis.call('XDEL', KEYS[2], ARGV[3] .. '-' .. m[3]) end
redis.call('HSET', KEYS[1], 'next', ARGV[3], 'tag', ARGV[4])
return {'OK'}";

/// Begins a checkpoint. KEYS meta. ARGV fence, generation. Returns the generation of an earlier one that is
/// incomplete.
pub const BEGIN: &str = "#!lua
local m = redis.call('HMGET', KEYS[1], 'fence', 'writing')
if m[1] ~= ARGV[1] then return {'FENCED', m[1]} end
redis.call('HSET', KEYS[1], 'writing', ARGV[2])
return {'OK', m[2]}";

/// Writes a page of a checkpoint. KEYS meta, page. ARGV fence, generation, bytes.
pub const PAGE: &str = "#!lua
local m = redis.call('HMGET', KEYS[1], 'fence', 'writing')
if m[1] ~= ARGV[1] then return {'FENCED', m[1]} end
if m[2] ~= ARGV[2] then return {'LOST', m[2]} end
redis.call('SET', KEYS[2], ARGV[3])
return {'OK'}";

/// Makes a checkpoint the valid one. KEYS meta, journal, pages. ARGV fence, generation, checkpoint, does it
/// make up for lost groups?, position, tag. Returns the one it replaces.
pub const SWITCH: &str = "#!lua
local m = redis.call('HMGET', KEYS[1], 'fence', 'writing', 'checkpoint', 'next')
if m[1] ~= ARGV[1] then return {'FENCED', m[1]} end
if m[2] ~= ARGV[2] then return {'LOST', m[2]} end
if redis.call('EXISTS', unpack(KEYS, 3)) ~= #KEYS - 2 then return {'LOST', m[2]} end
if ARGV[4] == '1' then
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[1], 'next', ARGV[5], 'tag', ARGV[6])
elseif not m[4] then
  return {'LOST', m[4]}
end
redis.call('HSET', KEYS[1], 'checkpoint', ARGV[3])
redis.call('HDEL', KEYS[1], 'writing')
return {'OK', m[3]}";

/// Deletes groups that a checkpoint replaces. KEYS meta, journal. ARGV fence, first id to keep.
pub const TRIM: &str = "#!lua flags=allow-oom
local m = redis.call('HGET', KEYS[1], 'fence')
if m ~= ARGV[1] then return {'FENCED', m} end
redis.call('XTRIM', KEYS[2], 'MINID', ARGV[2])
return {'OK'}";
