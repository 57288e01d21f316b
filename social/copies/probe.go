package copies

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// ServerInfo is what one Redis server says of itself.
type ServerInfo struct {
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

// Probe asks every configured Redis server what it is; of a Redis Cluster all its masters. Without a configured one it
// looks for the embedded one of the data folder, and makes nothing. Errors: ErrNoRedis, and what a server answers.
func Probe(ctx context.Context, at Redis) ([]ServerInfo, error) {
	redis.SetLogger(redisLog{slog.New(slog.DiscardHandler)}) // what it has to say comes back as errors
	addrs, password := at.Addrs, at.Password
	embedded := len(addrs) == 0
	if embedded {
		found, err := findEmbedded(at.Folder)
		if err != nil {
			return nil, err
		}
		addrs, password = []string{found.Addr}, found.Password
	}
	o := clientOptions(addrs, password)
	o.DB = at.DB
	client := redis.NewUniversalClient(o)
	defer func() { _ = client.Close() }()
	many, ok := client.(*redis.ClusterClient)
	if !ok {
		info, err := infoOf(ctx, addrs[0], client, embedded)
		return []ServerInfo{info}, err
	}
	found := make(chan ServerInfo, 1000)
	err := many.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		info, err := infoOf(ctx, node.Options().Addr, node, false)
		if err == nil {
			found <- info
		}
		return err
	})
	close(found)
	var all []ServerInfo
	for info := range found {
		all = append(all, info)
	}
	return all, err
}

// findEmbedded reads where the present owner of the folder's Redis has it.
func findEmbedded(folder string) (redisAddress, error) {
	e := newEmbedded(folder, false)
	if _, err := os.Stat(e.file); errors.Is(err, fs.ErrNotExist) {
		return redisAddress{}, ErrNoRedis
	}
	owned, err := e.owned()
	if err != nil {
		return redisAddress{}, err
	}
	if !owned {
		return redisAddress{}, ErrNoRedis
	}
	return e.address()
}

func infoOf(ctx context.Context, addr string, client redis.UniversalClient, embedded bool) (ServerInfo, error) {
	s := ServerInfo{Addr: addr}
	if err := client.Ping(ctx).Err(); err != nil { // and the connection is made before the clock is read
		return s, err
	}
	asked := time.Now()
	now, err := client.Time(ctx).Result()
	if err != nil {
		return s, err
	}
	s.RoundTrip = time.Since(asked)
	s.ClockDiff = now.Sub(asked.Add(s.RoundTrip / 2))
	if embedded { // it knows neither INFO in full nor CONFIG, and keeps nothing
		return s, nil
	}
	var info strings.Builder
	for _, section := range []string{"server", "replication"} {
		text, err := client.Info(ctx, section).Result()
		if err != nil {
			return s, err
		}
		info.WriteString(text + "\n")
	}
	for line := range strings.Lines(info.String()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "redis_version":
			s.Version = value
		case "role":
			s.Role = value
		case "connected_slaves":
			s.Replicas = value
		}
	}
	s.Config = map[string]string{}
	for _, name := range []string{"save", "appendonly", "maxmemory", "maxmemory-policy"} {
		values, err := client.ConfigGet(ctx, name).Result()
		if err != nil { // a managed Redis may hide it
			s.Config = nil
			return s, ctx.Err()
		}
		s.Config[name] = values[name]
	}
	return s, nil
}
