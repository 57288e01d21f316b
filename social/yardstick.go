package social

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// Yardstick is the raw limit of a page on this machine: the ids of a timeline and its twenty stored messages from the
// cache server, already encoded, with none of the checks. Benchmarks print their figures as a ratio to it.
type Yardstick struct {
	client redis.UniversalClient
	prefix string
	pages  int
	size   int
}

// NewYardstick stores so many made timelines of so many messages each. The error says that there is no cache server.
func (b *Backend) NewYardstick(ctx context.Context, pages, size int, body func(page, n int) []byte) (*Yardstick, error) {
	client := b.cache.Client()
	if client == nil {
		return nil, errors.New("there is no Redis to measure")
	}
	y := &Yardstick{client: client, prefix: "{bench}" + b.Cluster.ID() + ":", pages: pages, size: size}
	for page := range pages {
		pipe := client.Pipeline()
		for n := range size {
			id := fmt.Sprintf("%d-%d", page, n)
			pipe.ZAdd(ctx, y.prefix+fmt.Sprint("t:", page), redis.Z{Score: float64(n), Member: id})
			pipe.Set(ctx, y.prefix+"m:"+id, body(page, n), 0)
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, fmt.Errorf("store the yardstick's messages: %w", err)
		}
	}
	return y, nil
}

// Page reads one timeline's newest messages: two round trips.
func (y *Yardstick) Page(ctx context.Context, page int) ([]any, error) {
	ids, err := y.client.ZRevRange(ctx, y.prefix+fmt.Sprint("t:", page%y.pages), 0, int64(y.size)-1).Result()
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = y.prefix + "m:" + id
	}
	return y.client.MGet(ctx, keys...).Result()
}

// Drop takes the made timelines away.
func (y *Yardstick) Drop(ctx context.Context) error {
	for page := range y.pages {
		pipe := y.client.Pipeline()
		pipe.Del(ctx, y.prefix+fmt.Sprint("t:", page))
		for n := range y.size {
			pipe.Del(ctx, y.prefix+"m:"+fmt.Sprintf("%d-%d", page, n))
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return err
		}
	}
	return nil
}
