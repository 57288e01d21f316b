package social

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/redis/go-redis/v9"

	"socialctl/configs"
)

// RedisFacts is what one Redis server says of itself.
type RedisFacts struct {
	Addr      string
	Version   string
	Role      string            // master or slave
	Replicas  string            // how many are connected
	Config    map[string]string // save, appendonly, maxmemory, maxmemory-policy; nil where the server does not tell
	ClockDiff time.Duration     // the server's clock less this machine's, exact to half of RoundTrip
	RoundTrip time.Duration
}

// ErrNoRedis says that no process runs the embedded Redis now: reading does without.
var ErrNoRedis = errors.New("no server is running that would own the embedded Redis")

// RedisFile is where the owner of a data folder's Redis publishes its address and password.
func RedisFile(cfg configs.Config) string { return filepath.Join(cfg.Data, "redis.json") }

// ProbeRedis asks every configured Redis server what it is; of a Redis Cluster all its masters. Without a configured one
// it looks for the embedded one of the data folder, and makes nothing. Errors: ErrNoRedis, and what a server answers.
func ProbeRedis(ctx context.Context, cfg configs.Config) ([]RedisFacts, error) {
	redis.SetLogger(redisLog{slog.New(slog.DiscardHandler)}) // what it has to say comes back as errors
	addrs, password := cfg.Redis.Addrs, cfg.Redis.Password
	embedded := len(addrs) == 0
	if embedded {
		at, err := findEmbedded(cfg)
		if err != nil {
			return nil, err
		}
		addrs, password = []string{at.Addr}, at.Password
	}
	o := redisOptions(addrs, password)
	o.DB = cfg.Redis.DB
	client := redis.NewUniversalClient(o)
	defer func() { _ = client.Close() }()
	many, ok := client.(*redis.ClusterClient)
	if !ok {
		facts, err := factsOf(ctx, addrs[0], client, embedded)
		return []RedisFacts{facts}, err
	}
	found := make(chan RedisFacts, 1000)
	err := many.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		facts, err := factsOf(ctx, node.Options().Addr, node, false)
		if err == nil {
			found <- facts
		}
		return err
	})
	close(found)
	var all []RedisFacts
	for facts := range found {
		all = append(all, facts)
	}
	return all, err
}

// findEmbedded reads where the present owner of the folder's Redis has it.
func findEmbedded(cfg configs.Config) (redisAddress, error) {
	e := &embeddedRedis{file: RedisFile(cfg), lock: flock.New(filepath.Join(cfg.Data, "redis.lock"))}
	if _, err := os.Stat(e.file); errors.Is(err, fs.ErrNotExist) {
		return redisAddress{}, ErrNoRedis
	}
	held, err := e.held()
	if err != nil {
		return redisAddress{}, err
	}
	if !held {
		return redisAddress{}, ErrNoRedis
	}
	return e.published()
}

func factsOf(ctx context.Context, addr string, client redis.UniversalClient, embedded bool) (RedisFacts, error) {
	f := RedisFacts{Addr: addr}
	if err := client.Ping(ctx).Err(); err != nil { // and the connection is made before the clock is read
		return f, err
	}
	asked := time.Now()
	now, err := client.Time(ctx).Result()
	if err != nil {
		return f, err
	}
	f.RoundTrip = time.Since(asked)
	f.ClockDiff = now.Sub(asked.Add(f.RoundTrip / 2))
	if embedded { // it knows neither INFO in full nor CONFIG, and keeps nothing
		return f, nil
	}
	var info strings.Builder
	for _, section := range []string{"server", "replication"} {
		text, err := client.Info(ctx, section).Result()
		if err != nil {
			return f, err
		}
		info.WriteString(text + "\n")
	}
	for line := range strings.Lines(info.String()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "redis_version":
			f.Version = value
		case "role":
			f.Role = value
		case "connected_slaves":
			f.Replicas = value
		}
	}
	f.Config = map[string]string{}
	for _, name := range []string{"save", "appendonly", "maxmemory", "maxmemory-policy"} {
		values, err := client.ConfigGet(ctx, name).Result()
		if err != nil { // a managed Redis may hide it
			f.Config = nil
			return f, ctx.Err()
		}
		f.Config[name] = values[name]
	}
	return f, nil
}
