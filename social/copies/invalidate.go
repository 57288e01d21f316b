package copies

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"socialctl/sharding"
)

// removeChunk bounds the keys of one command, and the commands of one pipeline: a server that answers while it still
// reads would otherwise block on answers that nobody takes yet.
const removeChunk = 200

// remove deletes tags and returns the keys for which that failed. One failure of somebody else's is no reason not to try.
func (c *Cache) remove(ctx context.Context, keys []Key) []Key {
	client := c.link.client()
	if client == nil {
		return keys
	}
	var left []Key
	for part := range slices.Chunk(keys, removeChunk) {
		if len(left) > 0 { // it has just failed: the epochs will be raised anyway
			left = append(left, part...)
			continue
		}
		left = append(left, c.removePart(ctx, client, part)...)
	}
	c.invalidated.Add(int64(len(keys) - len(left)))
	if len(left) > 0 {
		c.failures.Add(1)
	}
	return left
}

func (c *Cache) removePart(ctx context.Context, client redis.UniversalClient, keys []Key) []Key {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	if single, ok := client.(*redis.Client); ok {
		names := make([]string, len(keys))
		for i, key := range keys {
			names[i] = c.prefix + key.Name
		}
		if err := single.Del(ctx, names...).Err(); err != nil {
			c.link.markAway(client, err)
			return keys
		}
		return nil
	}
	pipe := client.Pipeline() // the slots of a Redis Cluster lie on many nodes
	for _, key := range keys {
		pipe.Del(ctx, c.prefix+key.Name)
	}
	commands, _ := pipe.Exec(ctx)
	var left []Key
	for i, command := range commands {
		if err := command.Err(); err != nil {
			left = append(left, keys[i])
			c.link.markAway(client, err)
		}
	}
	return left
}

// raiseFor raises the cache_epochs of the keys' shards. The error says that one could not be raised yet.
func (c *Cache) raiseFor(ctx context.Context, keys []Key) error {
	var failed error
	seen := make(map[sharding.ShardID]bool, 1)
	for _, key := range keys {
		shard := c.cluster.For(key.Owner)
		if seen[shard.ID()] {
			continue
		}
		seen[shard.ID()] = true
		if err := c.raise(ctx, shard); err != nil {
			c.raiseLater(ctx, shard, err)
			failed = fmt.Errorf("tell other servers of a change: %w", err)
		}
	}
	return failed
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
	failed   int        // raises that failed, ever
	retrying bool
}

type raise struct {
	done chan struct{}
	err  error
}

// raise returns when a raise that was begun after the call has ended. Callers that meet share one: the statement takes
// the exclusive lock that every writer of the shard waits for.
func (c *Cache) raise(ctx context.Context, shard *sharding.Shard) error {
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
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.raiseTimeout.Load()))
	mine.err = c.cluster.RaiseCacheEpoch(ctx, shard)
	cancel()
	r.running.Unlock()
	close(mine.done)
	if mine.err == nil {
		c.raised.Add(1)
	}
	return mine.err
}

// raiseLater has a raise that failed tried again until it works.
func (c *Cache) raiseLater(ctx context.Context, shard *sharding.Shard, err error) {
	c.log.Warn("neither Redis nor the shard could be told of a change; other servers may show what was before it",
		"shard", shard.String(), "err", err)
	r := &c.raises[shard.ID()]
	r.mu.Lock()
	r.failed++
	begin := !r.retrying
	r.retrying = true
	r.mu.Unlock()
	if begin {
		c.retrying.Go(func() { c.retryRaise(ctx, shard, r) })
	}
}

// retryRaise ends when a raise has worked that was begun after the last one that failed, or, after a last try, at Close.
func (c *Cache) retryRaise(ctx context.Context, shard *sharding.Shard, r *raising) {
	pause, closing := raiseFirst, false
	for {
		select {
		case <-c.closing:
			closing = true
		case <-time.After(pause):
			pause = min(2*pause, raiseLongest)
		}
		r.mu.Lock()
		failed := r.failed
		r.mu.Unlock()
		err := c.raise(ctx, shard)
		r.mu.Lock()
		r.retrying = err != nil || r.failed != failed
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
