package social

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"socialctl/configs"
)

// Redis only makes answers faster, so nobody waits for it: an exchange gets redisPatience, and after one that failed
// readers do without until a look, every redisLook, has found it well again.
const (
	redisPatience = 250 * time.Millisecond
	redisLook     = 200 * time.Millisecond
)

// redisSettle is for how long a configured Redis that was away must have been well before readers use it again. Each
// process finds out for itself that Redis is back, up to redisLook, redisPatience and the second in which the library
// repeats the last failure to connect later than the others, and until then its writers do without: what they store would
// be seen by the first to be back only with the next cache_epoch.
const redisSettle = 2 * time.Second

// redisLink is this process's way to Redis: the configured one, or the embedded one that a process on the data folder
// owns. It begins a new generation whenever the data behind it may have become other data, older data in particular.
type redisLink struct {
	log        *slog.Logger
	current    atomic.Pointer[redisConn] // nil: there is none
	generation atomic.Uint64
	away       atomic.Bool
	missed     atomic.Int64   // looks in a row that found it away
	embedded   *embeddedRedis // nil: a configured one
	looking    sync.Mutex     // one look at a time

	mu   sync.Mutex
	seen map[string]bool // what servers said that they are
	back time.Time       // since when it has been well again

	cancel context.CancelFunc
	done   sync.WaitGroup
}

type redisConn struct {
	redis.UniversalClient
	nonce string // of the embedded Redis
}

// openRedis finds Redis and begins to watch it. That it is away is no error: it is used when it comes. Errors: the data
// folder cannot be used.
func openRedis(ctx context.Context, cfg configs.Config, role Role, log *slog.Logger) (*redisLink, error) {
	redis.SetLogger(redisLog{log}) // one for the whole process: the library has no other
	l := &redisLink{log: log, seen: map[string]bool{}}
	if len(cfg.Redis.Addrs) > 0 {
		o := redisOptions(cfg.Redis.Addrs, cfg.Redis.Password)
		o.DB = cfg.Redis.DB
		o.OnConnect = l.meet
		l.current.Store(&redisConn{UniversalClient: redis.NewUniversalClient(o)})
	} else {
		if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
			return nil, err
		}
		l.embedded = &embeddedRedis{role: role, file: filepath.Join(cfg.Data, "redis.json"),
			lock: flock.New(filepath.Join(cfg.Data, "redis.lock"))}
		if err := l.follow(); err != nil {
			return nil, fmt.Errorf("embedded Redis: %w", err)
		}
	}
	l.look(ctx)
	watch, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.cancel = cancel
	l.done.Go(func() { l.run(watch) })
	return l, nil
}

func redisOptions(addrs []string, password string) *redis.UniversalOptions {
	return &redis.UniversalOptions{Addrs: addrs, Password: password,
		DialTimeout: redisPatience, ReadTimeout: redisPatience, WriteTimeout: redisPatience, PoolTimeout: redisPatience,
		ContextTimeoutEnabled: true, DialerRetries: 1,
		// One more try at once: after a restart of Redis the pool holds dead connections.
		MaxRetries: 1, MinRetryBackoff: -1, MaxRetryBackoff: -1,
		DisableIdentity: true, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}}
}

// close ends the watch and the connections, and gives the embedded Redis up.
func (l *redisLink) close() error {
	l.cancel()
	l.done.Wait()
	var errs []error
	if conn := l.current.Swap(nil); conn != nil {
		errs = append(errs, conn.Close())
	}
	if l.embedded != nil {
		errs = append(errs, l.embedded.close())
	}
	return errors.Join(errs...)
}

// client is the client now; nil where there is no Redis to ask.
func (l *redisLink) client() redis.UniversalClient {
	if conn := l.current.Load(); conn != nil {
		return conn.UniversalClient
	}
	return nil
}

// ready is the client, or nil as long as it is not worth asking.
func (l *redisLink) ready() redis.UniversalClient {
	if l.away.Load() {
		return nil
	}
	return l.client()
}

// failed says that this client did not do what it was asked: readers do without Redis until the next look.
func (l *redisLink) failed(client redis.UniversalClient, err error) {
	if client != l.client() {
		return // replaced meanwhile
	}
	if !l.away.Swap(true) {
		l.log.Warn("Redis does not answer; reading everything from the shards", "err", err)
	}
}

// goneAfter is after how many looks in vain, each up to redisPatience and redisLook after the one before, a writer does
// not wait for Redis any more.
const goneAfter = 3

// gone reports whether Redis has been away for so long that asking it once more is not worth a writer's time: whoever
// can reach it hears of the write by the shard's cache_epoch.
func (l *redisLink) gone() bool { return l.missed.Load() >= goneAfter }

func (l *redisLink) run(ctx context.Context) {
	ticker := time.NewTicker(redisLook)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			l.look(ctx)
		}
	}
}

// look finds the embedded Redis, and asks Redis whether it is well and still the one it was.
func (l *redisLink) look(ctx context.Context) {
	if l.embedded != nil {
		if err := l.follow(); err != nil {
			l.failed(l.client(), err)
			return
		}
	}
	client := l.client()
	if client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	if err := l.ask(ctx, client); err != nil {
		if !errors.Is(err, context.Canceled) {
			l.failed(client, err)
			l.missed.Add(1)
		}
		return
	}
	if l.settled() && l.away.Swap(false) {
		l.log.Info("Redis answers again")
	}
}

// settled says that Redis is well, and reports whether it has been so for long enough. An embedded one may be used at
// once: whoever cannot reach the one he knows looks for its successor before he does without (moved).
func (l *redisLink) settled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.missed.Swap(0) > 0 && l.embedded == nil {
		l.back = time.Now()
	}
	return time.Since(l.back) >= redisSettle
}

func (l *redisLink) ask(ctx context.Context, client redis.UniversalClient) error {
	switch client := client.(type) {
	case *redis.ClusterClient:
		return client.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return l.identify(ctx, node.Pipeline()) })
	default:
		if l.embedded != nil {
			return l.embedded.ask(ctx, client)
		}
		return l.identify(ctx, client.Pipeline())
	}
}

// meet looks at the server behind each new connection before anything is asked of it: a server that was restarted or
// replaced breaks the connections, so its old data cannot be taken for news.
func (l *redisLink) meet(ctx context.Context, conn *redis.Conn) error {
	return l.identify(ctx, conn.Pipeline())
}

// identify begins a new generation when this server has not been seen in this state: another run, another role, or
// another history of replication. The watch finds what happens behind a connection that stays, as behind a proxy.
func (l *redisLink) identify(ctx context.Context, pipe redis.Pipeliner) error {
	server, replication := pipe.Info(ctx, "server"), pipe.Info(ctx, "replication")
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	var identity []string
	for line := range strings.Lines(server.Val() + "\n" + replication.Val()) {
		name, _, _ := strings.Cut(line, ":")
		if name == "run_id" || name == "role" || name == "master_replid" {
			identity = append(identity, strings.TrimSpace(line))
		}
	}
	if len(identity) != 3 {
		return fmt.Errorf("INFO names run_id, role and master_replid; this server says %q", identity)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if key := strings.Join(identity, " "); !l.seen[key] {
		l.seen[key] = true
		l.generation.Add(1)
	}
	return nil
}

// redisLog takes what the library has to say, such as that a connection was lost: all of it comes back as errors too.
type redisLog struct{ log *slog.Logger }

func (r redisLog) Printf(ctx context.Context, format string, args ...any) {
	if r.log.Enabled(ctx, slog.LevelDebug) {
		r.log.DebugContext(ctx, "redis: "+fmt.Sprintf(format, args...))
	}
}
