package copies

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Redis only makes answers faster, so nobody waits for it: an exchange gets redisTimeout, and after one that failed
// readers do without until a check, every checkEvery, has found it well again.
const (
	redisTimeout = 250 * time.Millisecond
	checkEvery   = 200 * time.Millisecond
)

// settleTime is for how long a configured Redis that was away must have been well before readers use it again. Each
// process finds out for itself that Redis is back, up to checkEvery, redisTimeout and the second in which the library
// repeats the last failure to connect later than the others, and until then its writers do without: what they store would
// be seen by the first to be back only with the next cache_epoch.
const settleTime = 2 * time.Second

// link is this process's way to Redis: the configured one, or the embedded one that a process on the data folder
// owns. It begins a new generation whenever the data behind it may have become other data, older data in particular.
type link struct {
	log         *slog.Logger
	current     atomic.Pointer[connection] // nil: there is none
	generation  atomic.Uint64
	away        atomic.Bool
	missed      atomic.Int64   // checks in a row that found it away
	embedded    *embeddedRedis // nil: a configured one
	discovering sync.Mutex     // one discovery at a time

	mu         sync.Mutex
	identities map[string]string // what the server at an address said that it is
	back       time.Time         // since when it has been well again

	cancel context.CancelFunc
	done   sync.WaitGroup
}

type connection struct {
	redis.UniversalClient
	nonce string // of the embedded Redis
}

func openLink(ctx context.Context, o Options) (*link, error) {
	redis.SetLogger(redisLog{o.Log}) // one for the whole process: the library has no other
	l := &link{log: o.Log, identities: map[string]string{}}
	if len(o.Redis.Addrs) > 0 {
		l.current.Store(&connection{UniversalClient: l.newClient(o.Redis)})
	} else {
		if err := os.MkdirAll(o.Redis.Folder, 0o700); err != nil {
			return nil, err
		}
		l.embedded = newEmbedded(o.Redis.Folder, o.Own)
		if err := l.discover(); err != nil {
			return nil, fmt.Errorf("embedded Redis: %w", err)
		}
	}
	l.check(ctx)
	watch, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l.cancel = cancel
	l.done.Go(func() { l.watch(watch) })
	return l, nil
}

// newClient makes a client that looks at the server behind each new connection before anything is asked of it: a server
// that was restarted or replaced breaks the connections, so its old data cannot be taken for news.
func (l *link) newClient(at Redis) redis.UniversalClient {
	node := func(o *redis.Options) *redis.Client {
		o.OnConnect = func(ctx context.Context, conn *redis.Conn) error { return l.identify(ctx, o.Addr, conn.Pipeline()) }
		return redis.NewClient(o)
	}
	o := clientOptions(at.Addrs, at.Password)
	o.DB = at.DB
	if len(at.Addrs) == 1 {
		return node(o.Simple())
	}
	many := o.Cluster()
	many.NewClient = node
	return redis.NewClusterClient(many)
}

func clientOptions(addrs []string, password string) *redis.UniversalOptions {
	return &redis.UniversalOptions{Addrs: addrs, Password: password,
		DialTimeout: redisTimeout, ReadTimeout: redisTimeout, WriteTimeout: redisTimeout, PoolTimeout: redisTimeout,
		ContextTimeoutEnabled: true, DialerRetries: 1,
		// One more try at once: after a restart of Redis the pool holds dead connections.
		MaxRetries: 1, MinRetryBackoff: -1, MaxRetryBackoff: -1,
		DisableIdentity: true, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}}
}

// close ends the watch and the connections, and gives the embedded Redis up.
func (l *link) close() error {
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
func (l *link) client() redis.UniversalClient {
	if conn := l.current.Load(); conn != nil {
		return conn.UniversalClient
	}
	return nil
}

// ready is the client, or nil as long as it is not worth asking.
func (l *link) ready() redis.UniversalClient {
	if l.away.Load() {
		return nil
	}
	return l.client()
}

// markAway says that this client did not do what it was asked: readers do without Redis until the next check.
func (l *link) markAway(client redis.UniversalClient, err error) {
	if client != l.client() {
		return // replaced meanwhile
	}
	if !l.away.Swap(true) {
		l.log.Warn("Redis does not answer; reading everything from the shards", "err", err)
	}
}

// longAwayAfter is after how many checks in vain, each up to redisTimeout and checkEvery after the one before, a writer
// does not wait for Redis any more.
const longAwayAfter = 3

// longAway reports whether Redis has been away for so long that asking it once more is not worth a writer's time: whoever
// can reach it hears of the write by the shard's cache_epoch.
func (l *link) longAway() bool { return l.missed.Load() >= longAwayAfter }

func (l *link) watch(ctx context.Context) {
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			l.check(ctx)
		}
	}
}

// check finds the embedded Redis, and asks Redis whether it is well and still the one it was.
func (l *link) check(ctx context.Context) {
	if l.embedded != nil {
		if err := l.discover(); err != nil {
			l.markAway(l.client(), err)
			return
		}
	}
	client := l.client()
	if client == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	if err := l.ping(ctx, client); err != nil {
		if !errors.Is(err, context.Canceled) {
			l.markAway(client, err)
			l.missed.Add(1)
		}
		return
	}
	if l.settled() && l.away.Swap(false) {
		l.log.Info("Redis answers again")
	}
}

// settled says that Redis is well, and reports whether it has been so for long enough. An embedded one may be used at
// once: whoever cannot reach the one that it knows looks for its successor before it does without (successor).
func (l *link) settled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.missed.Swap(0) > 0 && l.embedded == nil {
		l.back = time.Now()
	}
	return time.Since(l.back) >= settleTime
}

func (l *link) ping(ctx context.Context, client redis.UniversalClient) error {
	if l.embedded != nil {
		return l.embedded.ping(ctx, client)
	}
	if many, ok := client.(*redis.ClusterClient); ok {
		return many.ForEachMaster(ctx, l.checkNode)
	}
	return l.checkNode(ctx, client.(*redis.Client))
}

func (l *link) checkNode(ctx context.Context, node *redis.Client) error {
	return l.identify(ctx, node.Options().Addr, node.Pipeline())
}

// identify begins a new generation when the server at the address is not what it was: another run, another role, or
// another history of replication, be it one of before. The watch finds what happens behind a connection that stays.
func (l *link) identify(ctx context.Context, addr string, pipe redis.Pipeliner) error {
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
	if now := strings.Join(identity, " "); l.identities[addr] != now {
		l.identities[addr] = now
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
