package social

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"socialctl/configs"
	"socialctl/sharding"
	"socialctl/social/copies"
	"socialctl/social/schema"
)

// Role says what a process is to the embedded data folder.
type Role int

// RoleServer may own the embedded Redis and brings an embedded folder up to date; RoleTool uses what it finds.
const (
	RoleTool Role = iota
	RoleServer
)

// OpenOptions are what is not configuration.
type OpenOptions struct {
	Log  *slog.Logger
	Role Role
	Now  func() time.Time // the clock of new rows; time.Now where nil
}

// Backend is the opened system: the shards, the cache, and the verbs on them.
type Backend struct {
	Accounts  *Accounts
	Sessions  *Sessions
	Relations *Relations
	Messages  *Messages
	Timelines *Timelines
	Keys      *Keys
	Cluster   *sharding.Cluster
	Config    configs.Config

	log      *slog.Logger
	clock    func() time.Time
	cache    *copies.Cache
	messages *copies.Store[*stored]
	authors  *copies.Store[*profile]
	viewers  *copies.Store[*viewerState]
	logins   *copies.Store[[]sessionRow]
	heads    *copies.Store[*head]
	userIDs  *sharding.Sequence
	hashing  chan struct{} // at most this many password hashes at once: each takes 19 MiB
	ack      *acker
	hints    chan *effect
	working  atomic.Bool // Run is working off the hints
	eventSeq atomic.Int64
	metrics  workMetrics

	aheadOfClock clockAlarm
	close        context.CancelFunc
	running      sync.WaitGroup
}

// ShardingOptions turns the configuration into where the meta database and the shards are.
func ShardingOptions(cfg configs.Config, log *slog.Logger) sharding.Options {
	o := sharding.Options{Dir: cfg.Data, MetaDatabase: cfg.Meta.Database, MetaSchema: cfg.Meta.Schema, Shard: schema.Shard(), Log: log}
	if !cfg.IsEmbedded() {
		o.Databases = map[string]sharding.DatabaseOptions{}
		for name, db := range cfg.Databases {
			o.Databases[name] = sharding.DatabaseOptions{DSN: db.DSN, MaxConns: db.MaxConns}
		}
	}
	return o
}

// RedisOptions turns the configuration into where Redis is.
func RedisOptions(cfg configs.Config) copies.Redis {
	return copies.Redis{Addrs: cfg.Redis.Addrs, Password: cfg.Redis.Password, DB: cfg.Redis.DB, Folder: cfg.Data}
}

// How many decoded rows a process keeps: about 100 MiB when the messages are short.
const (
	cachedMessages = 60_000
	cachedAuthors  = 40_000
	cachedViewers  = 4_000
	cachedLogins   = 20_000
	cachedHeads    = 20_000
)

// Open opens everything that the configuration names. An embedded data folder is made and brought up to date at first
// use; a cluster must have been made by `shard init` and `migrate`. Errors: sharding.ErrNotInitialised,
// sharding.ErrNewerSchema, sharding.UnavailableError, ErrPendingSchema.
func Open(ctx context.Context, cfg configs.Config, o OpenOptions) (*Backend, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	where := ShardingOptions(cfg, o.Log)
	if cfg.IsEmbedded() {
		plan := sharding.Plan{Shards: cfg.Embedded.Shards, Buckets: cfg.Embedded.Buckets}
		if err := prepareFolder(ctx, where, plan); err != nil {
			return nil, err
		}
	}
	cluster, err := sharding.Open(ctx, where)
	if err != nil {
		return nil, err
	}
	if !cfg.IsEmbedded() {
		if err := checkSchema(ctx, cluster); err != nil {
			return nil, errors.Join(err, cluster.Close())
		}
	}
	b := &Backend{Cluster: cluster, Config: cfg, log: o.Log, clock: o.Now,
		messages: copies.NewStore[*stored](cachedMessages), authors: copies.NewStore[*profile](cachedAuthors),
		viewers: copies.NewStore[*viewerState](cachedViewers), logins: copies.NewStore[[]sessionRow](cachedLogins),
		heads:   copies.NewStore[*head](cachedHeads),
		userIDs: cluster.Sequence("user_id", 100), hashing: make(chan struct{}, 2), hints: make(chan *effect, 4096)}
	b.Accounts, b.Sessions, b.Relations = &Accounts{b}, &Sessions{b}, &Relations{b}
	b.Messages, b.Timelines, b.Keys = &Messages{b}, &Timelines{b}, &Keys{b}
	b.cache, err = copies.Open(ctx, copies.Options{Redis: RedisOptions(cfg), Own: o.Role == RoleServer, Cluster: cluster, Log: o.Log})
	if err != nil {
		return nil, errors.Join(err, cluster.Close())
	}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	b.close = cancel
	b.ack = newAcker(b)
	b.running.Go(func() { b.ack.run(background) })
	return b, nil
}

// prepareFolder makes and migrates an embedded folder; done already, it costs some milliseconds.
func prepareFolder(ctx context.Context, where sharding.Options, plan sharding.Plan) error {
	versions, err := sharding.Migrate(ctx, where, true)
	if errors.Is(err, sharding.ErrNotInitialised) {
		_, err = sharding.Init(ctx, where, plan)
		return err
	}
	if err != nil {
		return err
	}
	for _, v := range versions {
		if v.Pending > 0 {
			_, err = sharding.Migrate(ctx, where, false)
			return err
		}
	}
	return nil
}

// ErrPendingSchema says that `socialctl migrate` has to run first.
var ErrPendingSchema = errors.New("the schema is older than this program: run `socialctl migrate`")

func checkSchema(ctx context.Context, cluster *sharding.Cluster) error {
	versions, err := cluster.CheckSchema(ctx)
	if err != nil {
		return err
	}
	for _, v := range versions {
		if v.Pending > 0 {
			return fmt.Errorf("%s: %w", v.Where, ErrPendingSchema)
		}
	}
	return nil
}

// Close waits for what is under way and closes all parts, in reverse order of opening.
func (b *Backend) Close() error {
	b.close()
	b.running.Wait()
	return errors.Join(b.cache.Close(), b.Cluster.Close())
}

// Ready returns nil when every shard and meta answer, or an error that names what is away. Redis is not asked: its
// absence slows answers and changes none.
func (b *Backend) Ready(ctx context.Context) error { return b.Cluster.Ping(ctx) }

func (b *Backend) now() int64 { return b.clock().UnixMilli() }

func (b *Backend) bucket(id UserID) sharding.Bucket { return b.Cluster.Bucket(int64(id)) }
