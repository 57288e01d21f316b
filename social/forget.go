package social

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"socialctl/sharding"
)

// forget makes every local copy of the things worthless: call it after the commit and before the answer. It goes on
// when the caller has gone away. Where Redis does not answer within 250 ms it raises cache_epoch instead; where the
// shard is away as well, that is tried in the background until it works or the cache is closed, and is the error: who
// can do the whole again later should.
func (c *cache) forget(ctx context.Context, keys ...cacheKey) error {
	if len(keys) == 0 {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	before := c.link.current.Load()
	left := keys
	if !c.link.gone() {
		left = c.remove(ctx, keys)
	}
	if len(left) > 0 && c.link.moved(before) {
		left = c.remove(ctx, left)
	}
	if len(left) == 0 {
		return nil
	}
	c.link.generation.Add(1) // this process knows at once
	var owed error
	seen := make(map[sharding.ShardID]bool, 1)
	for _, key := range left {
		shard := c.cluster.For(int64(key.owner))
		if seen[shard.ID()] {
			continue
		}
		seen[shard.ID()] = true
		if err := c.raise(ctx, shard); err != nil {
			c.owe(ctx, shard, err)
			owed = fmt.Errorf("tell other servers of a change: %w", err)
		}
	}
	return owed
}

// forgetAfter is forget for the end of a write: also when nobody knows whether it was committed, and not when it was
// certainly not.
func (c *cache) forgetAfter(ctx context.Context, err error, keys ...cacheKey) error {
	if c.committed != nil {
		c.committed()
	}
	var unknown *sharding.UnknownOutcomeError
	if err == nil || errors.As(err, &unknown) {
		return c.forget(ctx, keys...)
	}
	return nil
}

// forgetPayload names what an owner's change has made stale.
type forgetPayload struct {
	Names []string `json:"names"` // of cacheKeys
}

// forgetting is the effect of a change that has no other: a server that dies between the commit and the deletion of the
// tags leaves it to the workers of the others.
func (b *Backend) forgetting(owner UserID, keys ...cacheKey) *effect {
	p := forgetPayload{Names: make([]string, len(keys))}
	for i, key := range keys {
		p.Names[i] = key.name
	}
	return b.newEffect(owner, effForget, owner, p)
}

// change writes rows of one person that are shown from copies elsewhere and owe nothing else: fn's transaction, and
// then the copies are forgotten, whoever dies meanwhile.
func (b *Backend) change(ctx context.Context, owner UserID, keys []cacheKey, fn func(ctx context.Context, tx *sharding.Tx) error) error {
	owed := b.forgetting(owner, keys...)
	err := b.Cluster.Write(ctx, int64(owner), func(ctx context.Context, tx *sharding.Tx) error {
		if err := fn(ctx, tx); err != nil {
			return err
		}
		return b.emit(ctx, tx, owed)
	})
	if told := b.cache.forgetAfter(ctx, err, keys...); err == nil && told == nil {
		b.ack.done(owed)
	}
	return err
}

// forgetFor forgets what the verbs that owe these effects have changed: whoever finds them in the outbox cannot know
// whether the server that committed them lived on to forget it. For others there is nothing to do.
func (b *Backend) forgetFor(ctx context.Context, effs []*effect) error {
	var keys []cacheKey
	for _, e := range effs {
		if !e.found {
			continue
		}
		switch e.kind {
		case effForget:
			var p forgetPayload
			if e.decode(&p) == nil {
				for _, name := range p.Names {
					keys = append(keys, cacheKey{name, e.owner})
				}
			}
		case effEdges:
			var p edgesPayload
			if e.decode(&p) == nil {
				for _, edge := range p.Edges {
					keys = append(keys, viewerKey(UserID(edge[0])))
				}
			}
		case effEdge, effBlocked:
			keys = append(keys, viewerKey(e.owner))
		case effReference:
			var p referencePayload
			if e.decode(&p) == nil {
				keys = append(keys, viewerKey(e.owner), timelineKey(e.owner), messageKey(p.By))
			}
		case effFanout:
			keys = append(keys, timelineKey(e.owner))
		case effRemoval:
			var p deliveryPayload
			if e.decode(&p) == nil {
				keys = append(keys, viewerKey(e.owner), timelineKey(e.owner), messageKey(MessageID{e.owner, p.N}))
			}
		case effDeleteAccount:
			keys = append(keys, accountKey(e.owner), sessionKey(e.owner), viewerKey(e.owner))
		}
	}
	return b.cache.forget(ctx, keys...)
}

// removeChunk bounds the keys of one command, and the commands of one pipeline: a server that answers while it still
// reads would otherwise block on answers that nobody takes yet.
const removeChunk = 200

// remove deletes tags and returns the keys for which that failed. One failure of somebody else's is no reason not to try.
func (c *cache) remove(ctx context.Context, keys []cacheKey) []cacheKey {
	client := c.link.client()
	if client == nil {
		return keys
	}
	var left []cacheKey
	for part := range slices.Chunk(keys, removeChunk) {
		if len(left) > 0 { // it has just failed: the epochs will be raised anyway
			left = append(left, part...)
			continue
		}
		left = append(left, c.removePart(ctx, client, part)...)
	}
	c.forgotten.Add(int64(len(keys) - len(left)))
	if len(left) > 0 {
		c.failures.Add(1)
	}
	return left
}

func (c *cache) removePart(ctx context.Context, client redis.UniversalClient, keys []cacheKey) []cacheKey {
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	if single, ok := client.(*redis.Client); ok {
		names := make([]string, len(keys))
		for i, key := range keys {
			names[i] = c.prefix + key.name
		}
		if err := single.Del(ctx, names...).Err(); err != nil {
			c.link.failed(client, err)
			return keys
		}
		return nil
	}
	pipe := client.Pipeline() // the slots of a Redis Cluster lie on many nodes
	for _, key := range keys {
		pipe.Del(ctx, c.prefix+key.name)
	}
	commands, _ := pipe.Exec(ctx)
	var left []cacheKey
	for i, command := range commands {
		if err := command.Err(); err != nil {
			left = append(left, keys[i])
			c.link.failed(client, err)
		}
	}
	return left
}

// The pauses between tries to raise an epoch.
const (
	raiseFirst   = 50 * time.Millisecond
	raiseLongest = 2 * time.Second
)

// raising is one shard's cache_epoch as far as this process has to raise it.
type raising struct {
	running  sync.Mutex // one statement at a time
	mu       sync.Mutex // guards the rest
	waiting  *raise     // not begun: whoever comes now may join it
	owed     int        // raises that failed, ever
	retrying bool
}

type raise struct {
	done chan struct{}
	err  error
}

// raise returns when a raise that was begun after the call has ended. Callers that meet share one: the statement takes
// the exclusive lock that every writer of the shard waits for.
func (c *cache) raise(ctx context.Context, shard *sharding.Shard) error {
	r := &c.raises[shard.ID()]
	r.mu.Lock()
	if joined := r.waiting; joined != nil {
		r.mu.Unlock()
		<-joined.done
		return joined.err
	}
	mine := &raise{done: make(chan struct{})}
	r.waiting = mine
	r.mu.Unlock()

	r.running.Lock()
	r.mu.Lock()
	r.waiting = nil
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.patience.Load()))
	mine.err = c.cluster.RaiseCacheEpoch(ctx, shard)
	cancel()
	r.running.Unlock()
	close(mine.done)
	if mine.err == nil {
		c.raised.Add(1)
	}
	return mine.err
}

// owe has a raise that failed tried again until it works.
func (c *cache) owe(ctx context.Context, shard *sharding.Shard, err error) {
	c.log.Warn("neither Redis nor the shard could be told of a change; other servers may show what was before it",
		"shard", shard.String(), "err", err)
	r := &c.raises[shard.ID()]
	r.mu.Lock()
	r.owed++
	begin := !r.retrying
	r.retrying = true
	r.mu.Unlock()
	if begin {
		c.owing.Go(func() { c.repay(ctx, shard, r) })
	}
}

// repay ends when a raise has worked that was begun after the last one that failed, or, after a last try, at close.
func (c *cache) repay(ctx context.Context, shard *sharding.Shard, r *raising) {
	pause, closing := raiseFirst, false
	for {
		select {
		case <-c.closing:
			closing = true
		case <-time.After(pause):
			pause = min(2*pause, raiseLongest)
		}
		r.mu.Lock()
		owed := r.owed
		r.mu.Unlock()
		err := c.raise(ctx, shard)
		r.mu.Lock()
		r.retrying = err != nil || r.owed != owed
		again := r.retrying
		r.mu.Unlock()
		if !again {
			c.log.Info("cache_epoch raised at last", "shard", shard.String())
			return
		}
		if closing && err != nil {
			c.log.Error("closed without having told other servers of a change; they may show for a day what was before it",
				"shard", shard.String(), "err", err)
			return
		}
	}
}
