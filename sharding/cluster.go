package sharding

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Options say where the meta database and the shards are. Without Databases everything is SQLite files in Dir.
type Options struct {
	Dir          string                     // embedded: the folder
	Databases    map[string]DatabaseOptions // by the name used in the configuration
	MetaDatabase string                     // where meta lives
	MetaSchema   string                     // its schema; shards take its name with _meta replaced by their number
	Meta, Shard  fs.FS                      // the domain's migrations, beside this package's own
	TxTimeout    time.Duration              // the longest write transaction; 5 s where zero, 30 s embedded
	Log          *slog.Logger
}

// Cluster is the opened set of shards with the meta database.
type Cluster struct {
	options Options
	servers map[string]*server
	meta    *pool
	id      string
	secret  []byte
	buckets int
	shards  []*Shard
	mu      sync.Mutex // guards replacing the map
	placed  atomic.Pointer[[]ShardID]
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

// Shard is one database that holds buckets.
type Shard struct {
	id         ShardID
	database   string
	schema     string
	pool       *pool
	buckets    int
	known      atomic.Pointer[view]
	highest    atomic.Int64 // the highest epoch ever seen, from meta too
	cacheSeen  atomic.Int64 // cache_epoch at the last poll
	polledAtMS atomic.Int64 // when; 0 after a failure
	heard      atomic.Int64 // when its server last answered, since process start; 0 before the watch begins
	doubts     atomic.Int64 // commits whose fate was not known, ever
}

// ID numbers the shard.
func (s *Shard) ID() ShardID { return s.id }

// String names the shard and where it is.
func (s *Shard) String() string { return fmt.Sprintf("shard %d (%s)", s.id, s.pool.where) }

// Schema is the name of its database or file.
func (s *Shard) Schema() string { return s.schema }

// Database is the configured server's name; empty when embedded.
func (s *Shard) Database() string { return s.database }

// Dialect is the shard's engine.
func (s *Shard) Dialect() Dialect { return s.pool.dialect }

func (o *Options) defaults() {
	if o.MetaSchema == "" {
		o.MetaSchema = "social_meta"
	}
	if o.TxTimeout == 0 {
		o.TxTimeout = 5 * time.Second
		if o.embedded() { // nobody but its own writers waits for a file, and a slow disk is slow
			o.TxTimeout = 30 * time.Second
		}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
}

func (o Options) embedded() bool { return len(o.Databases) == 0 }

// connect opens the pools of the servers and of meta, without reading anything.
func connect(o Options) (*Cluster, error) {
	o.defaults()
	c := &Cluster{options: o, servers: map[string]*server{}}
	if o.embedded() {
		if err := os.MkdirAll(o.Dir, 0o700); err != nil {
			return nil, err
		}
		p, err := openSQLite(o.Dir, o.MetaSchema)
		if err != nil {
			return nil, err
		}
		c.meta = p
		return c, nil
	}
	for name, db := range o.Databases {
		s, err := newServer(name, db)
		if err != nil {
			return nil, err
		}
		c.servers[name] = s
	}
	home, ok := c.servers[o.MetaDatabase]
	if !ok {
		return nil, fmt.Errorf("meta.database: %q is not one of the databases", o.MetaDatabase)
	}
	c.meta = home.open(o.MetaSchema, 4)
	return c, nil
}

// Open opens an initialised cluster, reads its map and starts watching epochs. Close ends it.
func Open(ctx context.Context, o Options) (*Cluster, error) {
	c, err := connect(o)
	if err != nil {
		return nil, err
	}
	if err := c.load(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	watch, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancel = cancel
	for _, s := range c.shards {
		s.answered()
		c.done.Go(func() { s.watch(watch, c.options.Log) })
	}
	return c, nil
}

// Close stops watching and closes all connections.
func (c *Cluster) Close() error {
	if c.cancel != nil {
		c.cancel()
	}
	c.done.Wait()
	var errs []error
	for _, s := range c.shards {
		errs = append(errs, s.pool.close())
	}
	errs = append(errs, c.meta.close())
	return errors.Join(errs...)
}

// load reads who the cluster is and where its buckets lie.
func (c *Cluster) load(ctx context.Context) error {
	var ready, shards int
	var placement []byte
	var id []byte
	err := c.meta.read.QueryRowContext(ctx,
		`SELECT cluster_id, secret, buckets, shards, placement, ready FROM meta_state WHERE id = 1`).
		Scan(&id, &c.secret, &c.buckets, &shards, &placement, &ready)
	if err != nil {
		if missing(err) {
			return ErrNotInitialised
		}
		return c.meta.wrap(fmt.Errorf("read meta_state: %w", err))
	}
	if ready == 0 {
		return ErrNotInitialised
	}
	c.id = string(id)
	rows, err := c.meta.read.QueryContext(ctx, `SELECT shard, database_name, schema_name, epoch_seen FROM shard ORDER BY shard`)
	if err != nil {
		return c.meta.wrap(fmt.Errorf("read the list of shards: %w", err))
	}
	defer rows.Close()
	for rows.Next() {
		s := &Shard{buckets: c.buckets}
		var database, schema []byte
		var epoch int64
		if err := rows.Scan(&s.id, &database, &schema, &epoch); err != nil {
			return err
		}
		s.database, s.schema = string(database), string(schema)
		s.highest.Store(epoch)
		if int(s.id) != len(c.shards) {
			return fmt.Errorf("the list of shards skips number %d", len(c.shards))
		}
		c.shards = append(c.shards, s)
	}
	if err := rows.Err(); err != nil {
		return c.meta.wrap(err)
	}
	if err := c.openShards(); err != nil {
		return err
	}
	return c.Refresh(ctx)
}

func (c *Cluster) openShards() error {
	perServer := map[string]int{}
	for _, s := range c.shards {
		perServer[s.database]++
	}
	for _, s := range c.shards {
		if c.options.embedded() {
			p, err := openSQLite(c.options.Dir, s.schema)
			if err != nil {
				return err
			}
			s.pool = p
			continue
		}
		srv, ok := c.servers[s.database]
		if !ok {
			return fmt.Errorf("shard %d lies on database %q, which the configuration does not name", s.id, s.database)
		}
		s.pool = srv.open(s.schema, srv.max/perServer[s.database])
	}
	return nil
}

// Refresh reads the map of buckets again. It is a hint: the shards are the authority.
func (c *Cluster) Refresh(ctx context.Context) error {
	placed := make([]ShardID, c.buckets)
	rows, err := c.meta.read.QueryContext(ctx, `SELECT bucket, shard FROM bucket_map`)
	if err != nil {
		return c.meta.wrap(fmt.Errorf("read bucket_map: %w", err))
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var b int
		var s ShardID
		if err := rows.Scan(&b, &s); err != nil {
			return err
		}
		if b < 0 || b >= c.buckets || int(s) >= len(c.shards) {
			return fmt.Errorf("bucket_map names bucket %d on shard %d, which do not exist", b, s)
		}
		placed[b] = s
		n++
	}
	if err := rows.Err(); err != nil {
		return c.meta.wrap(err)
	}
	if n != c.buckets {
		return fmt.Errorf("bucket_map has %d of %d buckets", n, c.buckets)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.placed.Store(&placed)
	return nil
}

// learn notes that a bucket has moved, and reports whether that was new.
func (c *Cluster) learn(b Bucket, from, to ShardID) bool {
	if int(to) >= len(c.shards) || to < 0 || to == from {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	placed := slices.Clone(*c.placed.Load())
	if placed[b] != from {
		return true
	}
	placed[b] = to
	c.placed.Store(&placed)
	return true
}

// ID names the cluster for ever: 16 random bytes in hexadecimal. Cache keys begin with it.
func (c *Cluster) ID() string { return c.id }

// Secret is the cluster's own key, for signing what clients carry, such as cursors.
func (c *Cluster) Secret() []byte { return c.secret }

// Buckets is how many buckets people are spread over.
func (c *Cluster) Buckets() int { return c.buckets }

// Bucket is where a person's rows belong.
func (c *Cluster) Bucket(userID int64) Bucket { return BucketOf(userID, c.buckets) }

// BucketOfText is where a row found by a text belongs.
func (c *Cluster) BucketOfText(text string) Bucket { return BucketOfText(text, c.buckets) }

// Shards lists all shards in order.
func (c *Cluster) Shards() []*Shard { return c.shards }

// Shard returns the shard of that number.
func (c *Cluster) Shard(id ShardID) *Shard { return c.shards[id] }

func (c *Cluster) shardOf(b Bucket) *Shard { return c.shards[(*c.placed.Load())[b]] }

// For returns the shard that is thought to hold the person; only a transaction or a current read knows.
func (c *Cluster) For(userID int64) *Shard { return c.shardOf(c.Bucket(userID)) }

// ForBucket is For by bucket.
func (c *Cluster) ForBucket(b Bucket) *Shard { return c.shardOf(b) }

// GroupByShard splits routing keys by the shard that is thought to hold them, in ascending order within each.
func (c *Cluster) GroupByShard(userIDs []int64) map[*Shard][]int64 {
	out := map[*Shard][]int64{}
	for _, id := range userIDs {
		s := c.For(id)
		out[s] = append(out[s], id)
	}
	for _, ids := range out {
		slices.Sort(ids)
	}
	return out
}
