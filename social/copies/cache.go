package copies

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"socialctl/sharding"
)

// Redis says where Redis is: at Addrs or, where there are none, the embedded one of the data folder.
type Redis struct {
	Addrs    []string // host:port; more than one means a Redis Cluster
	Password string
	DB       int    // number of the logical database; a Redis Cluster has only 0
	Folder   string // the data folder, which is made where it is missing
}

// Options are what a Cache needs to be opened.
type Options struct {
	Redis   Redis
	Own     bool              // this process may run the folder's embedded Redis; otherwise it uses the one that it finds
	Cluster *sharding.Cluster // whose shards have the cache_epochs; its ID keeps clusters apart that share a Redis
	Log     *slog.Logger
}

// Cache gives out tags and invalidates them.
type Cache struct {
	cluster      *sharding.Cluster
	link         *link
	log          *slog.Logger
	prefix       string
	lookups      coalescer
	raises       []raising    // by shard
	raiseTimeout atomic.Int64 // of one try to raise an epoch, in nanoseconds
	closing      chan struct{}
	retrying     sync.WaitGroup

	afterCommit func() // in tests: what happens between a commit and the invalidation

	found, created, unusable, failures, invalidated, raised atomic.Int64
}

// Open finds Redis and begins to watch it. That it is away is no error: it is used when it comes. Errors: the data
// folder cannot be used.
func Open(ctx context.Context, o Options) (*Cache, error) {
	l, err := openLink(ctx, o)
	if err != nil {
		return nil, err
	}
	c := &Cache{cluster: o.Cluster, link: l, log: o.Log, prefix: o.Cluster.ID() + ":",
		raises: make([]raising, len(o.Cluster.Shards())), closing: make(chan struct{})}
	c.raiseTimeout.Store(int64(2 * time.Second))
	return c, nil
}

// Close waits until the last try to raise the epochs that are still to be raised has ended, 5 s at most, and gives Redis
// up. It must come before the cluster is closed.
func (c *Cache) Close() error {
	close(c.closing)
	c.retrying.Wait()
	c.lookups.running.Wait()
	return c.link.close()
}

// Client is the connection to Redis now, to measure Redis itself; nil where there is no Redis.
func (c *Cache) Client() redis.UniversalClient { return c.link.client() }

// Stats counts since the cache was opened.
type Stats struct {
	Found       int64 // tags that existed
	Created     int64 // tags made because there was none
	Unusable    int64 // keys answered with an unusable tag
	Failures    int64 // times that Redis did not do what it was asked
	Invalidated int64 // keys whose tag was deleted
	Raised      int64 // times that a cache_epoch was raised because a tag could not be deleted
}

// Stats returns the counts.
func (c *Cache) Stats() Stats {
	return Stats{c.found.Load(), c.created.Load(), c.unusable.Load(), c.failures.Load(), c.invalidated.Load(), c.raised.Load()}
}

// Tags returns the tags of the keys in their order, with one exchange with Redis, two where some have to be made. All
// are unusable when Redis is away, and those of a shard whose cache_epoch is not known. They must be taken before the
// rows are loaded that will be stored under them.
func (c *Cache) Tags(ctx context.Context, keys []Key) []Tag {
	if len(keys) == 0 {
		return nil
	}
	l := c.lookup(keys)
	if l.client == nil {
		return c.none(len(keys))
	}
	within, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	err := c.lookups.fetch(within, l)
	if err == nil {
		err = l.create(within)
	}
	if err != nil && ctx.Err() != nil {
		return c.none(len(keys)) // a caller that went away says nothing about Redis
	}
	return c.finish(l, err)
}

// finish gives the tags out, unless Redis failed or may have become another one since the lookup began.
func (c *Cache) finish(l *lookup, err error) []Tag {
	if err != nil {
		c.failures.Add(1)
		c.link.markAway(l.client, err)
		return c.none(len(l.tags))
	}
	if c.link.generation.Load() != l.generation {
		return c.none(len(l.tags))
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

func (c *Cache) none(n int) []Tag {
	c.unusable.Add(int64(n))
	return make([]Tag, n)
}

// Invalidate makes every copy of the things worthless: call it after the commit and before the acknowledgement. It goes
// on when the caller has gone away. Where Redis does not answer within 250 ms it raises cache_epoch instead; where the
// shard is away as well, that is tried in the background until it works or the cache is closed, and is the error: who
// can do the whole again later should.
func (c *Cache) Invalidate(ctx context.Context, keys ...Key) error {
	if len(keys) == 0 {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	before := c.link.current.Load()
	left := keys
	if !c.link.longAway() {
		left = c.remove(ctx, keys)
	}
	if len(left) > 0 && c.link.successor(before) {
		left = c.remove(ctx, left)
	}
	if len(left) == 0 {
		return nil
	}
	c.link.generation.Add(1) // this process knows at once
	return c.raiseFor(ctx, left)
}

// InvalidateAfter is Invalidate for the end of a write that ended with err: also when nobody knows whether it was
// committed, and not when it was certainly not.
func (c *Cache) InvalidateAfter(ctx context.Context, err error, keys ...Key) error {
	if c.afterCommit != nil {
		c.afterCommit()
	}
	var unknown *sharding.UnknownOutcomeError
	if err == nil || errors.As(err, &unknown) {
		return c.Invalidate(ctx, keys...)
	}
	return nil
}
