package sharding

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// Plan is what a cluster is made of, once and for ever as far as buckets are concerned.
type Plan struct {
	Shards    int
	Buckets   int
	Databases []string // taken in turn: shard 0 on the first, 1 on the second …; nil when embedded
}

// Validate names what cannot be.
func (p Plan) Validate(o Options) error {
	var errs []error
	if p.Buckets < 1 || p.Buckets > MaxBuckets {
		errs = append(errs, fmt.Errorf("--buckets: %d is not between 1 and %d", p.Buckets, MaxBuckets))
	}
	if p.Shards < 1 || p.Shards > p.Buckets || p.Shards > 4096 {
		errs = append(errs, fmt.Errorf("--shards: %d is not between 1 and the number of buckets, 4096 at most", p.Shards))
	}
	if o.embedded() && len(p.Databases) > 0 {
		errs = append(errs, errors.New("--databases: the embedded data folder has none; name them in the configuration file"))
	}
	if !o.embedded() && len(p.Databases) == 0 {
		errs = append(errs, errors.New("--databases: name at least one database of the configuration"))
	}
	for _, name := range p.Databases {
		if _, ok := o.Databases[name]; !ok && !o.embedded() {
			errs = append(errs, fmt.Errorf("--databases: %q is not one of the databases of the configuration", name))
		}
	}
	return errors.Join(errs...)
}

func (p Plan) placement() string {
	return fmt.Sprintf("%d shards, %d buckets, on %s", p.Shards, p.Buckets, strings.Join(p.Databases, ","))
}

func (p Plan) database(s int) string {
	if len(p.Databases) == 0 {
		return ""
	}
	return p.Databases[s%len(p.Databases)]
}

// Initialised tells whether Init had anything to do.
type Initialised struct {
	Fresh bool // false: the cluster was there already, made by the same plan
}

// Init creates the meta schema and the shards. It records its plan first, so that a run that was killed is completed by
// the next one; a second run with the same plan changes nothing, one with another plan is refused.
func Init(ctx context.Context, o Options, plan Plan) (Initialised, error) {
	if err := plan.Validate(o); err != nil {
		return Initialised{}, err
	}
	c, err := connect(o)
	if err != nil {
		return Initialised{}, err
	}
	defer func() { _ = c.Close() }()
	unlock, err := c.lock(ctx)
	if err != nil {
		return Initialised{}, err
	}
	defer unlock()
	if err := c.createSchema(ctx, c.options.MetaDatabase, c.options.MetaSchema); err != nil {
		return Initialised{}, err
	}
	if _, err := c.meta.version(ctx, c.options, true); err != nil {
		return Initialised{}, err
	}
	if err := c.meta.migrate(ctx, c.options, true); err != nil {
		return Initialised{}, err
	}
	done, clusterID, err := c.record(ctx, plan)
	if err != nil || done {
		return Initialised{}, err
	}
	for s := range plan.Shards {
		if err := c.createShard(ctx, plan, ShardID(s), clusterID); err != nil {
			return Initialised{}, err
		}
	}
	_, err = c.meta.write.ExecContext(ctx, `UPDATE meta_state SET ready = 1 WHERE id = 1`)
	return Initialised{Fresh: true}, c.meta.wrap(err)
}

// record stores the plan, or compares it with the one stored, and returns whether that one is completed.
func (c *Cluster) record(ctx context.Context, plan Plan) (done bool, clusterID string, err error) {
	var id, placement []byte
	var ready int
	err = c.meta.write.QueryRowContext(ctx, `SELECT cluster_id, placement, ready FROM meta_state WHERE id = 1`).Scan(&id, &placement, &ready)
	if err == nil {
		if string(placement) != plan.placement() {
			return false, "", fmt.Errorf("this cluster was made with %s; buckets are for ever, and shards change by `socialctl shard split` and `move`", placement)
		}
		return ready == 1, string(id), nil
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return false, "", c.meta.wrap(err)
	}
	raw := make([]byte, 16+32)
	if _, err := rand.Read(raw); err != nil {
		return false, "", err
	}
	clusterID = hex.EncodeToString(raw[:16])
	_, err = c.meta.write.ExecContext(ctx, `
		INSERT INTO meta_state (id, cluster_id, secret, buckets, shards, placement, ready, created_ms)
		VALUES (1, ?, ?, ?, ?, ?, 0, ?)`,
		[]byte(clusterID), raw[16:], plan.Buckets, plan.Shards, []byte(plan.placement()), time.Now().UnixMilli())
	return false, clusterID, c.meta.wrap(err)
}

// createShard makes one shard with its buckets, then names it and them in meta. Every step can be done twice.
func (c *Cluster) createShard(ctx context.Context, plan Plan, id ShardID, clusterID string) error {
	schema := SchemaName(c.prefix(), id)
	database := plan.database(int(id))
	if err := c.createSchema(ctx, database, schema); err != nil {
		return err
	}
	p, err := c.openPool(database, schema)
	if err != nil {
		return err
	}
	defer func() { _ = p.close() }()
	if err := p.migrate(ctx, c.options, false); err != nil {
		return err
	}
	var owner []byte
	err = p.read.QueryRowContext(ctx, `SELECT cluster_id FROM shard_state WHERE id = 1`).Scan(&owner)
	switch {
	case err == nil && string(owner) != clusterID:
		return fmt.Errorf("%s belongs to another cluster (%s)", p.where, owner)
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return p.wrap(err)
	}
	var mine []int
	for b, s := range spread(plan.Buckets, plan.Shards) {
		if s == id {
			mine = append(mine, b)
		}
	}
	if err := p.fill(ctx, mine, int(id), clusterID); err != nil {
		return err
	}
	return c.announce(ctx, database, schema, id, mine)
}

func (p *pool) fill(ctx context.Context, buckets []int, shard int, clusterID string) error {
	tx, err := p.write.BeginTx(ctx, nil)
	if err != nil {
		return p.wrap(err)
	}
	defer func() { _ = tx.Rollback() }()
	args := make([]any, 0, len(buckets))
	for _, b := range buckets {
		args = append(args, b)
	}
	row := "(?, 1, 0, 0, 0, -1, 0, '', 0)"
	insert := `INSERT INTO bucket_state (bucket, state, journal, move_id, token, successor, archive_bound, archive_checkpoint, archive_generation)
		VALUES ` + row + strings.Repeat(","+row, len(buckets)-1) + ` {upsert bucket} state = 1`
	if _, err := tx.ExecContext(ctx, p.dialect.expand(insert), args...); err != nil {
		return p.wrap(fmt.Errorf("fill bucket_state: %w", err))
	}
	_, err = tx.ExecContext(ctx, p.dialect.SQL(`
		INSERT INTO shard_state (id, shard, cluster_id, epoch, cache_epoch) VALUES (1, ?, ?, 1, 1)
		{upsert id} epoch = 1`), shard, []byte(clusterID))
	if err != nil {
		return p.wrap(fmt.Errorf("fill shard_state: %w", err))
	}
	return p.wrap(tx.Commit())
}

func (c *Cluster) announce(ctx context.Context, database, schema string, id ShardID, buckets []int) error {
	tx, err := c.meta.write.BeginTx(ctx, nil)
	if err != nil {
		return c.meta.wrap(err)
	}
	defer func() { _ = tx.Rollback() }()
	_, err = tx.ExecContext(ctx, c.meta.dialect.SQL(`
		INSERT INTO shard (shard, database_name, schema_name, epoch_seen) VALUES (?, ?, ?, 1)
		{upsert shard} epoch_seen = 1`), id, []byte(database), []byte(schema))
	if err != nil {
		return c.meta.wrap(fmt.Errorf("announce shard: %w", err))
	}
	args := make([]any, 0, 2*len(buckets))
	for _, b := range buckets {
		args = append(args, b, id)
	}
	row := "(?, ?, 1)"
	insert := `INSERT INTO bucket_map (bucket, shard, epoch) VALUES ` + row + strings.Repeat(","+row, len(buckets)-1) +
		` {upsert bucket} shard = {new shard}`
	if _, err := tx.ExecContext(ctx, c.meta.dialect.expand(insert), args...); err != nil {
		return c.meta.wrap(fmt.Errorf("announce buckets: %w", err))
	}
	return c.meta.wrap(tx.Commit())
}

func (c *Cluster) prefix() string { return strings.TrimSuffix(c.options.MetaSchema, "_meta") }

func (c *Cluster) openPool(database, schema string) (*pool, error) {
	if c.options.embedded() {
		return openSQLite(c.options.Dir, schema)
	}
	return c.servers[database].open(schema, 2), nil
}

var schemaName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,62}$`)

// createSchema creates a database on its server; a SQLite file comes by itself.
func (c *Cluster) createSchema(ctx context.Context, database, schema string) error {
	if !schemaName.MatchString(schema) {
		return fmt.Errorf("meta.schema: %q is not a letter followed by letters, digits or _", schema)
	}
	if c.options.embedded() {
		return nil
	}
	p := c.servers[database].open("", 1)
	defer func() { _ = p.close() }()
	_, err := p.write.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS `"+schema+"` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
	if err != nil {
		return p.wrap(fmt.Errorf("create database %s on %s: %w", schema, database, err))
	}
	return nil
}

// lock lets one process at a time initialise or migrate.
func (c *Cluster) lock(ctx context.Context) (func(), error) {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	if c.options.embedded() {
		file := flock.New(filepath.Join(c.options.Dir, ".schema.lock"))
		ok, err := file.TryLockContext(ctx, 5*time.Millisecond)
		if errors.Is(err, context.DeadlineExceeded) || err == nil && !ok {
			return nil, fmt.Errorf("the schema of %s is being changed: %w", c.options.Dir, ErrJobHeld)
		}
		if err != nil {
			return nil, fmt.Errorf("lock the schema of %s: %w", c.options.Dir, err)
		}
		return func() { _ = file.Unlock() }, nil
	}
	p := c.servers[c.options.MetaDatabase].open("", 1)
	conn, err := p.write.Conn(ctx)
	if err != nil {
		_ = p.close()
		return nil, p.wrap(err)
	}
	var got sql.NullInt64
	err = conn.QueryRowContext(ctx, `SELECT GET_LOCK(?, ?)`, "socialctl:"+c.options.MetaSchema, int(lockPatience.Seconds())-5).Scan(&got)
	if err != nil || got.Int64 != 1 {
		_ = conn.Close()
		_ = p.close()
		if err == nil {
			err = fmt.Errorf("the schema is being changed: %w", ErrJobHeld)
		}
		return nil, p.wrap(err)
	}
	return func() { _ = conn.Close(); _ = p.close() }, nil
}
