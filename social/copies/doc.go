// Package copies keeps copies of decoded rows in every process and guarantees that none is used that an acknowledged
// write has made stale. It owns the way to Redis (embedded, one server, or a Redis Cluster), the tags that Redis holds,
// their invalidation, also where Redis cannot be told, and the typed stores of the copies. It knows a thing only by the
// name of its Key and by the routing key of its owner, and refuses to know what the copies are, how they are loaded, and
// who writes them.
//
// The promise: a read that begins after a write has been acknowledged does not see what was there before the write. A
// reader takes the tags of all that it needs first (Cache.Tags), uses the copies that carry an equal tag (Store.Get),
// loads the others from their shards, and stores them under the tags that it took BEFORE it loaded (Store.Put). A writer
// invalidates (Cache.Invalidate) after its commit and before its acknowledgement. Redis holds no row, only a random tag
// for each cacheable thing.
//
// Why it holds: Invalidate deletes the tag, and tags are never made twice (a request to make one is never sent again, as
// it may have been carried out), so no process can hand out the old one again.
// A copy under a later tag was loaded after that tag was made, hence after the deletion, hence after the commit. A slow
// reader that loaded the old row can store it only under the tag that it took before, and nobody gets that one any more.
// Eviction, expiry and a flush of Redis delete tags, which is always safe.
//
// What would bring an old tag back is a Redis that restarts from a file, or is replaced by a replica that lags or by a
// server of before. Each such event begins a new generation, which is part of a tag: the copies of the generations before
// are dead.
//
// Where the deletion cannot be sent, the writer begins a new generation in its own process and raises cache_epoch in the
// owner's shard. Shard and epoch are part of a tag too, so the copies of all other processes are dead as soon as these
// know the new epoch, within half a second; who cannot read the epoch uses no copies. Where the shard cannot be told
// either, Invalidate says so and goes on trying in the background.
//
// TestModel holds the package to all of this, with readers, writers and failures of Redis in random orders.
package copies
