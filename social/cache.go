package social

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"socialctl/sharding"
)

// The versioned cache. Decoded rows live in each process; Redis holds no row, only a random tag for each cacheable
// thing. A reader takes the tags of all that it needs first, uses the local copies that carry an equal tag, and loads
// the others from their shards, storing them under the tag that it took BEFORE it loaded. A writer deletes the tag
// after its commit and before its answer.
//
// Why a read begun after that answer sees the write: no process can hand out the old tag again, because it is deleted
// and tags are never made twice. A copy under a later tag was loaded after that tag was made, hence after the deletion,
// hence after the commit. A slow reader that loaded the old row can store it only under the tag it took before, and
// nobody gets that one any more. Eviction, expiry and a flush of Redis delete tags, which is always safe.
//
// What would bring an old tag back is a Redis that restarts from a file or is replaced by a replica that lags. Each such
// event begins a new generation (redisLink), which is part of a tag: the copies of the generation before are dead.
//
// When the deletion cannot be sent, the writer begins a new generation in its own process and raises cache_epoch in
// the owner's shard. Shard and epoch are part of a tag too, so the copies of all other processes are dead as soon as
// these know the new epoch, within half a second; who cannot read the epoch uses no copies.

// cacheKey names a cacheable thing. The owner's shard decides which cache_epoch counts.
type cacheKey struct {
	name  string
	owner UserID
}

// messageKey names a message's row: "m:1024-17".
func messageKey(id MessageID) cacheKey {
	return cacheKey{string(id.append(append(make([]byte, 0, 32), "m:"...))), id.Author}
}

// accountKey names a profile's row: "a:17".
func accountKey(id UserID) cacheKey { return personKey("a:", id) }

// viewerKey names the relations and own reposts of a reader: "v:17".
func viewerKey(id UserID) cacheKey { return personKey("v:", id) }

// sessionKey names all sessions of a person: "s:17".
func sessionKey(id UserID) cacheKey { return personKey("s:", id) }

func personKey(prefix string, id UserID) cacheKey {
	return cacheKey{string(strconv.AppendInt(append(make([]byte, 0, 24), prefix...), int64(id), 10)), id}
}

// tag is the version of a thing at one moment. Where ok is false local copies are neither used nor stored.
type tag struct {
	value      string
	epoch      int64
	shard      sharding.ShardID // epochs of two shards are not comparable, and buckets move
	generation uint64
	ok         bool
}

// A tag is 11 printable bytes for 64 random bits. It expires a day after it was made, however often it is read.
const tagLife = 24 * time.Hour

func newTag() string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	var text [11]byte
	n := rand.Uint64()
	for i := range text {
		text[i] = digits[n&63]
		n >>= 6
	}
	return string(text[:])
}

// cache gives out and deletes tags. Close waits for the epochs that it still owes.
type cache struct {
	cluster  *sharding.Cluster
	link     *redisLink
	log      *slog.Logger
	prefix   string
	raises   []raising    // by shard
	patience atomic.Int64 // of one try to raise an epoch, in nanoseconds
	closing  chan struct{}
	owing    sync.WaitGroup
	flights  flights

	committed func() // in tests: what happens between a commit and the forgetting

	found, created, unusable, failures, forgotten, raised atomic.Int64
}

// newCache starts nothing.
func newCache(cluster *sharding.Cluster, link *redisLink, log *slog.Logger) *cache {
	c := &cache{cluster: cluster, link: link, log: log, prefix: cluster.ID() + ":",
		raises: make([]raising, len(cluster.Shards())), closing: make(chan struct{})}
	c.patience.Store(int64(2 * time.Second))
	return c
}

// close waits until the last try to raise what is owed has ended: 5 s at most.
func (c *cache) close() {
	close(c.closing)
	c.owing.Wait()
	c.flights.wait.Wait()
}

// cacheStats counts since the start.
type cacheStats struct {
	Found     int64 // tags that existed
	Created   int64 // tags made because there was none
	Unusable  int64 // keys answered with ok false
	Failures  int64 // times that Redis did not do what it was asked
	Forgotten int64 // keys whose tag was deleted
	Raised    int64 // times that a cache_epoch was raised because a tag could not be deleted
}

func (c *cache) stats() cacheStats {
	return cacheStats{c.found.Load(), c.created.Load(), c.unusable.Load(), c.failures.Load(), c.forgotten.Load(), c.raised.Load()}
}

// tags returns the tags of the keys in their order, with one exchange with Redis, two where some have to be made. All
// are unusable when Redis is away, and those of a shard whose cache_epoch is not known.
func (c *cache) tags(ctx context.Context, keys []cacheKey) []tag {
	if len(keys) == 0 {
		return nil
	}
	l := c.lookup(keys)
	if l.client == nil {
		return c.unknown(len(keys))
	}
	within, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	err := c.flights.fetch(within, l)
	if err == nil {
		err = l.create(within)
	}
	if err != nil && ctx.Err() != nil {
		return c.unknown(len(keys)) // a caller that went away says nothing about Redis
	}
	return c.finish(l, err)
}

// finish gives the tags out, unless Redis failed or may have become another one since the lookup began.
func (c *cache) finish(l *lookup, err error) []tag {
	if err != nil {
		c.failures.Add(1)
		c.link.failed(l.client, err)
		return c.unknown(len(l.tags))
	}
	if c.link.generation.Load() != l.generation {
		return c.unknown(len(l.tags))
	}
	usable := 0
	for i := range l.tags {
		if l.tags[i].ok {
			usable++
		}
	}
	c.unusable.Add(int64(len(l.tags) - usable))
	c.created.Add(int64(l.created))
	c.found.Add(int64(usable - l.created))
	return l.tags
}

func (c *cache) unknown(n int) []tag {
	c.unusable.Add(int64(n))
	return make([]tag, n)
}

// lookup is one taking of tags. Everything in a tag is read before the rows are loaded that will be stored under it.
type lookup struct {
	client     redis.UniversalClient // nil: Redis is away
	generation uint64
	names      []string
	tags       []tag
	created    int
	landed     chan error // of a lookup that flies with others
}

func (c *cache) lookup(keys []cacheKey) *lookup {
	l := &lookup{generation: c.link.generation.Load(), client: c.link.ready()}
	if l.client == nil {
		return l
	}
	l.names, l.tags = make([]string, len(keys)), make([]tag, len(keys))
	for i, key := range keys {
		shard := c.cluster.For(int64(key.owner))
		epoch, known := shard.CacheEpoch()
		l.names[i] = c.prefix + key.name
		l.tags[i] = tag{epoch: epoch, shard: shard.ID(), generation: l.generation, ok: known}
	}
	return l
}

// fetch takes the tags that exist.
func (l *lookup) fetch(ctx context.Context) error {
	single, ok := l.client.(*redis.Client)
	if !ok { // the slots of a Redis Cluster lie on many nodes
		pipe := l.client.Pipeline()
		for _, name := range l.names {
			pipe.Get(ctx, name)
		}
		commands, _ := pipe.Exec(ctx)
		return l.take(commands)
	}
	values, err := single.MGet(ctx, l.names...).Result()
	if err != nil {
		return err
	}
	for i, v := range values {
		l.tags[i].value, _ = v.(string)
	}
	return nil
}

func (l *lookup) take(commands []redis.Cmder) error {
	for i, command := range commands {
		value, err := command.(*redis.StringCmd).Result()
		if err != nil && err != redis.Nil {
			return err
		}
		l.tags[i].value = value
	}
	return nil
}

// create makes the tags that are missing. Whoever comes second takes what the first one made.
func (l *lookup) create(ctx context.Context) error {
	type making struct {
		tag  *tag
		mine string
		set  *redis.BoolCmd
		get  *redis.StringCmd
	}
	var missing []making
	var pipe redis.Pipeliner
	for i := range l.tags {
		t := &l.tags[i]
		if t.value != "" || !t.ok {
			continue
		}
		if pipe == nil {
			pipe = l.client.Pipeline()
		}
		mine := newTag()
		missing = append(missing, making{t, mine, pipe.SetNX(ctx, l.names[i], mine, tagLife), pipe.Get(ctx, l.names[i])})
	}
	if pipe == nil {
		return nil
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for _, m := range missing {
		made, err := m.set.Result()
		if err != nil {
			return err
		}
		if made {
			m.tag.value = m.mine
			l.created++
			continue
		}
		m.tag.value, err = m.get.Result()
		if err != nil && err != redis.Nil {
			return err
		}
		m.tag.ok = err == nil // deleted in between: this reader stores nothing
	}
	return nil
}
