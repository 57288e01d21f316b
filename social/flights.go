package social

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// flights carries lookups to Redis, those that meet together: while flightsMost exchanges are under way, the others wait
// and then share one. Under load that saves most of the exchanges, which cost more than the keys in them. What a lookup
// gets was read after it came.
type flights struct {
	mu      sync.Mutex
	waiting []*lookup
	flying  int
	wait    sync.WaitGroup
}

// flightsMost is one for each connection that a core can keep busy here; more were not faster.
const (
	flightsMost = 2
	flightKeys  = 2000 // in one exchange
)

// fetch takes the tags that exist. A Redis Cluster is asked by each lookup for itself: its keys lie on many nodes anyway.
func (f *flights) fetch(ctx context.Context, l *lookup) error {
	if _, single := l.client.(*redis.Client); !single {
		return l.fetch(ctx)
	}
	l.landed = make(chan error, 1)
	f.mu.Lock()
	f.waiting = append(f.waiting, l)
	start := f.flying < flightsMost
	if start {
		f.flying++
	}
	f.mu.Unlock()
	if start {
		background := context.WithoutCancel(ctx)
		f.wait.Go(func() { f.fly(background) })
	}
	select {
	case err := <-l.landed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fly makes exchanges until nobody waits any more.
func (f *flights) fly(ctx context.Context) {
	for {
		f.mu.Lock()
		batch := f.board()
		if len(batch) == 0 {
			f.flying--
			f.mu.Unlock()
			return
		}
		f.mu.Unlock()
		f.exchange(ctx, batch)
	}
}

// board takes those that wait for the same client, as many as fit.
func (f *flights) board() []*lookup {
	keys, n := 0, 0
	for n < len(f.waiting) && f.waiting[n].client == f.waiting[0].client && (n == 0 || keys+len(f.waiting[n].names) <= flightKeys) {
		keys += len(f.waiting[n].names)
		n++
	}
	batch := f.waiting[:n:n]
	f.waiting = f.waiting[n:]
	if len(f.waiting) == 0 {
		f.waiting = nil
	}
	return batch
}

func (f *flights) exchange(ctx context.Context, batch []*lookup) {
	within, cancel := context.WithTimeout(ctx, redisPatience)
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
		l.landed <- err
	}
}
