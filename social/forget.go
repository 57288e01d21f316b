package social

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"socialctl/sharding"
)

// forget makes every local copy of the things worthless: call it after the commit and before the answer. It goes on
// when the caller has gone away. Where Redis does not answer within 250 ms it raises cache_epoch instead; where the
// shard is away as well, that is tried in the background until it works or the cache is closed.
func (c *cache) forget(ctx context.Context, keys ...cacheKey) {
	if len(keys) == 0 {
		return
	}
	ctx = context.WithoutCancel(ctx)
	left := c.remove(ctx, keys)
	if len(left) > 0 && c.link.moved() {
		left = c.remove(ctx, left)
	}
	if len(left) == 0 {
		return
	}
	c.link.generation.Add(1) // this process knows at once
	seen := make(map[sharding.ShardID]bool, 1)
	for _, key := range left {
		shard := c.cluster.For(int64(key.owner))
		if seen[shard.ID()] {
			continue
		}
		seen[shard.ID()] = true
		if err := c.raise(ctx, shard); err != nil {
			c.owe(ctx, shard, err)
		}
	}
}

// forgetAfter is forget for the end of a write: also when nobody knows whether it was committed, and not when it was
// certainly not.
func (c *cache) forgetAfter(ctx context.Context, err error, keys ...cacheKey) {
	var unknown *sharding.UnknownOutcomeError
	if err == nil || errors.As(err, &unknown) {
		c.forget(ctx, keys...)
	}
}

// forgetFor forgets what the verbs that owe these effects have changed: whoever finds them in the outbox cannot know
// whether the server that committed them lived on to forget it.
func (b *Backend) forgetFor(ctx context.Context, effs []*effect) {
	var keys []cacheKey
	for _, e := range effs {
		switch e.kind {
		case effEdge, effBlocked:
			keys = append(keys, viewerKey(e.owner))
		case effReference:
			var p referencePayload
			if e.decode(&p) == nil {
				keys = append(keys, viewerKey(e.owner), messageKey(p.By))
			}
		case effRemoval:
			var p deliveryPayload
			if e.decode(&p) == nil {
				keys = append(keys, viewerKey(e.owner), messageKey(MessageID{e.owner, p.N}))
			}
		case effDeleteAccount:
			keys = append(keys, accountKey(e.owner), sessionKey(e.owner), viewerKey(e.owner))
		}
	}
	b.cache.forget(ctx, keys...)
}

// removeChunk bounds the commands of one pipeline: a server that answers while it still reads would otherwise block on
// answers that nobody takes yet.
const removeChunk = 200

// remove deletes tags and returns the keys for which that failed. It does not believe that Redis is away: it tries.
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
	pipe := client.Pipeline()
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
	ctx, cancel := context.WithTimeout(ctx, c.patience)
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
