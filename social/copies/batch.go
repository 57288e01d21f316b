package copies

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// coalescer shares exchanges with Redis among lookups: while maxExchanges are under way the others wait, and then go
// together as one batch. Under load that saves most of the exchanges, which cost more than the keys in them. What a
// lookup gets was read after it came.
type coalescer struct {
	mu        sync.Mutex
	waiting   []*lookup
	exchanges int // under way
	running   sync.WaitGroup
}

const (
	maxExchanges = 2    // one for each connection that a core can keep busy here; more were not faster
	maxBatchKeys = 2000 // in one exchange
)

// fetch takes the tags that exist. A Redis Cluster is asked by each lookup for itself: its keys lie on many nodes anyway.
func (c *coalescer) fetch(ctx context.Context, l *lookup) error {
	if _, single := l.client.(*redis.Client); !single {
		return l.fetch(ctx)
	}
	l.done = make(chan error, 1)
	c.mu.Lock()
	c.waiting = append(c.waiting, l)
	start := c.exchanges < maxExchanges
	if start {
		c.exchanges++
	}
	c.mu.Unlock()
	if start {
		background := context.WithoutCancel(ctx)
		c.running.Go(func() { c.run(background) })
	}
	select {
	case err := <-l.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run makes exchanges until nobody waits any more.
func (c *coalescer) run(ctx context.Context) {
	for {
		c.mu.Lock()
		batch := c.batch()
		if len(batch) == 0 {
			c.exchanges--
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		exchange(ctx, batch)
	}
}

// batch takes those that wait for the same client, as many as fit.
func (c *coalescer) batch() []*lookup {
	keys, n := 0, 0
	for n < len(c.waiting) && c.waiting[n].client == c.waiting[0].client && (n == 0 || keys+len(c.waiting[n].names) <= maxBatchKeys) {
		keys += len(c.waiting[n].names)
		n++
	}
	batch := c.waiting[:n:n]
	c.waiting = c.waiting[n:]
	if len(c.waiting) == 0 {
		c.waiting = nil
	}
	return batch
}

func exchange(ctx context.Context, batch []*lookup) {
	within, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	names := batch[0].names
	if len(batch) > 1 {
		names = nil
		for _, l := range batch {
			names = append(names, l.names...)
		}
	}
	values, err := batch[0].client.MGet(within, names...).Result()
	for _, l := range batch {
		if err == nil {
			for i, v := range values[:len(l.names)] {
				l.tags[i].value, _ = v.(string)
			}
			values = values[len(l.names):]
		}
		l.done <- err
	}
}
