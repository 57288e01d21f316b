package sharding_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"socialctl/configs"
	"socialctl/sharding"
	"socialctl/sharding/shardingtest"
	"socialctl/social/schema"
)

func options(cfg configs.Config) sharding.Options {
	o := sharding.Options{Dir: cfg.Data, MetaDatabase: cfg.Meta.Database, MetaSchema: cfg.Meta.Schema, Shard: schema.Shard()}
	for name, db := range cfg.Databases {
		if o.Databases == nil {
			o.Databases = map[string]sharding.DatabaseOptions{}
		}
		o.Databases[name] = sharding.DatabaseOptions{DSN: db.DSN, MaxConns: db.MaxConns}
	}
	return o
}

func open(t *testing.T, p shardingtest.Profile) (*sharding.Cluster, sharding.Options) {
	t.Helper()
	cfg := p.Config(t)
	o := options(cfg)
	plan := sharding.Plan{Shards: 4, Buckets: 64}
	if p.Cluster {
		plan.Databases = []string{"a", "b"}
	}
	if _, err := sharding.Init(t.Context(), o, plan); err != nil {
		t.Fatal(err)
	}
	c, err := sharding.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, o
}

func each(t *testing.T, test func(t *testing.T, p shardingtest.Profile)) {
	for _, p := range shardingtest.Profiles() {
		t.Run(p.Name, func(t *testing.T) { test(t, p) })
	}
}

func TestInitIsDoneOnceAndRefusesAnotherPlan(t *testing.T) {
	each(t, func(t *testing.T, p shardingtest.Profile) {
		c, o := open(t, p)
		plan := sharding.Plan{Shards: 4, Buckets: 64}
		if p.Cluster {
			plan.Databases = []string{"a", "b"}
		}
		again, err := sharding.Init(t.Context(), o, plan)
		if err != nil || again.Fresh {
			t.Fatalf("second run: fresh %v, %v", again.Fresh, err)
		}
		plan.Shards = 5
		if _, err := sharding.Init(t.Context(), o, plan); err == nil {
			t.Fatal("another plan was accepted")
		}
		if len(c.Shards()) != 4 || c.Buckets() != 64 || len(c.ID()) != 32 || len(c.Secret()) != 32 {
			t.Fatalf("opened %d shards, %d buckets", len(c.Shards()), c.Buckets())
		}
		found, err := sharding.Migrate(t.Context(), o, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range found {
			if v.Pending != 0 || v.Current != v.Latest {
				t.Errorf("%+v", v)
			}
		}
	})
}

func TestASchemaFromTheFutureIsRefused(t *testing.T) {
	cfg := shardingtest.Embedded().Config(t)
	o := options(cfg)
	if _, err := sharding.Init(t.Context(), o, sharding.Plan{Shards: 2, Buckets: 8}); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(cfg.Data, "social_0001.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`INSERT INTO schema_version (version_id, is_applied) VALUES (9999999999, 1)`); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	if _, err := sharding.Migrate(t.Context(), o, false); !errors.Is(err, sharding.ErrNewerSchema) {
		t.Fatalf("got %v", err)
	}
}

func TestSequenceGivesEachNumberOnce(t *testing.T) {
	each(t, func(t *testing.T, p shardingtest.Profile) {
		c, _ := open(t, p)
		var mu sync.Mutex
		seen := map[int64]bool{}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				seq := c.Sequence("user_id", 7)
				for range 25 {
					n, err := seq.Next(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if seen[n] || n < 1 {
						t.Errorf("%d came twice", n)
					}
					seen[n] = true
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if len(seen) != 200 {
			t.Fatalf("%d numbers", len(seen))
		}
	})
}

// bump adds one to a person's clock in a transaction that reads first: lost updates would show.
func bump(ctx context.Context, c *sharding.Cluster, user int64) error {
	bucket := c.Bucket(user)
	return c.Write(ctx, user, func(ctx context.Context, tx *sharding.Tx) error {
		var clock int64
		if err := tx.QueryRow(ctx, `SELECT clock FROM user_info WHERE bucket = ? AND user_id = ? {for update}`, bucket, user).Scan(&clock); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, sharding.Key("user_info", bucket, user),
			`UPDATE user_info SET clock = ? WHERE bucket = ? AND user_id = ?`, clock+1, bucket, user)
		return err
	})
}

func makeUser(t *testing.T, c *sharding.Cluster, user int64) {
	t.Helper()
	bucket := c.Bucket(user)
	err := c.Write(t.Context(), user, func(ctx context.Context, tx *sharding.Tx) error {
		_, err := tx.Exec(ctx, sharding.Key("user_info", bucket, user), `
			INSERT INTO user_info (bucket, user_id, name, display_name, bio, password_hash, state, msg_count, message_count,
				follow_count, fans_count, clock, last_time_ms, created_ms)
			VALUES (?, ?, 'n', 'n', '', '', 2, 0, 0, 0, 0, 0, 0, 0)`, bucket, user)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func clockOf(t *testing.T, c *sharding.Cluster, user int64) (clock int64) {
	t.Helper()
	err := c.Read(t.Context(), user, func(ctx context.Context, r *sharding.Reader) error {
		return r.QueryRow(ctx, `SELECT clock FROM user_info WHERE bucket = ? AND user_id = ?`, c.Bucket(user), user).Scan(&clock)
	})
	if err != nil {
		t.Fatal(err)
	}
	return clock
}

func TestWritesToOneRowAreNotLost(t *testing.T) {
	each(t, func(t *testing.T, p shardingtest.Profile) {
		c, _ := open(t, p)
		makeUser(t, c, 5)
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for range 10 {
					if err := bump(t.Context(), c, 5); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if got := clockOf(t, c, 5); got != 160 {
			t.Fatalf("clock is %d, want 160", got)
		}
	})
}

func TestAWriteOutsideItsBucketsIsRefused(t *testing.T) {
	c, _ := open(t, shardingtest.Embedded())
	err := c.Write(t.Context(), 1, func(ctx context.Context, tx *sharding.Tx) error {
		_, err := tx.Exec(ctx, sharding.Key("user_info", c.Bucket(2), int64(2)), `DELETE FROM user_info WHERE user_id = 2`)
		return err
	})
	if err == nil {
		t.Fatal("the write went through")
	}
}

// fence sets a bucket's state as a mover does: under the exclusive lock, with a new epoch.
func fence(t *testing.T, c *sharding.Cluster, o sharding.Options, p shardingtest.Profile, shard *sharding.Shard, bucket sharding.Bucket, state, journal int) {
	t.Helper()
	db := raw(t, o, p, shard)
	if !p.Cluster { // as another process would: take the turn
		turn := flock.New(filepath.Join(o.Dir, "."+shard.Schema()+".turn"))
		if _, err := turn.TryLockContext(t.Context(), time.Millisecond); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = turn.Close() }()
	}
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	for _, q := range []string{`UPDATE shard_state SET epoch = epoch + 1 WHERE id = 1`} {
		if _, err := tx.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tx.Exec(`UPDATE bucket_state SET state = ?, journal = ? WHERE bucket = ?`, state, journal, bucket); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

func raw(t *testing.T, o sharding.Options, p shardingtest.Profile, shard *sharding.Shard) *sql.DB {
	t.Helper()
	driver, dsn := "sqlite", filepath.Join(o.Dir, shard.Schema()+".db")+"?_pragma=busy_timeout(20000)&_txlock=immediate"
	if p.Cluster {
		driver, dsn = "mysql", o.Databases[shard.Database()].DSN+shard.Schema()
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestNoWriteCommitsAfterAFenceHasReturned(t *testing.T) {
	each(t, func(t *testing.T, p shardingtest.Profile) {
		c, o := open(t, p)
		const user = 9
		makeUser(t, c, user)
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for ctx.Err() == nil {
					_ = bump(ctx, c, user)
				}
			})
		}
		for range 10 {
			before := clockOf(t, c, user)
			for clockOf(t, c, user) == before { // the writers are at work
				if t.Context().Err() != nil {
					t.Fatal("no writes")
				}
			}
			fence(t, c, o, p, c.For(user), c.Bucket(user), int(sharding.StateFenced), 0)
			at := clockOf(t, c, user)
			deadline := time.Now().Add(30 * time.Millisecond)
			for time.Now().Before(deadline) {
				if now := clockOf(t, c, user); now != at {
					t.Fatalf("clock went from %d to %d behind the fence", at, now)
				}
			}
			fence(t, c, o, p, c.For(user), c.Bucket(user), int(sharding.StateOpen), 0)
		}
		stop()
		wg.Wait()
	})
}

func TestAFencedBucketIsAwayAfterAWhileAndOthersAreNot(t *testing.T) {
	each(t, func(t *testing.T, p shardingtest.Profile) {
		c, o := open(t, p)
		makeUser(t, c, 9)
		makeUser(t, c, 13) // the same shard, another bucket
		if c.For(9) != c.For(13) {
			t.Fatal("not the same shard")
		}
		fence(t, c, o, p, c.For(9), c.Bucket(9), int(sharding.StateFenced), 0)
		var away *sharding.UnavailableError
		if err := bump(t.Context(), c, 9); !errors.As(err, &away) {
			t.Fatalf("fenced: got %v", err)
		}
		if err := bump(t.Context(), c, 13); err != nil {
			t.Fatalf("its neighbour: %v", err)
		}
		if clockOf(t, c, 9) != 0 {
			t.Fatal("a fenced bucket can be read, as it was")
		}
	})
}

func TestAMovedBucketIsFollowedAndReadWhereItIs(t *testing.T) {
	each(t, func(t *testing.T, p shardingtest.Profile) {
		c, o := open(t, p)
		const user = 9
		makeUser(t, c, user)
		from, to := c.For(user), c.Shards()[3]
		db := raw(t, o, p, to)
		if _, err := db.Exec(`INSERT INTO bucket_state (bucket, state, journal, move_id, token, successor, archive_bound, archive_checkpoint, archive_generation)
			VALUES (?, 1, 0, 0, 0, -1, 0, '', 0)`, c.Bucket(user)); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(`UPDATE shard_state SET epoch = epoch + 1`); err != nil {
			t.Fatal(err)
		}
		source := raw(t, o, p, from)
		if _, err := source.Exec(`UPDATE bucket_state SET successor = 3 WHERE bucket = ?`, c.Bucket(user)); err != nil {
			t.Fatal(err)
		}
		fence(t, c, o, p, from, c.Bucket(user), int(sharding.StateGone), 0)
		makeUser(t, c, user) // lands on the new shard: on the old one the key is taken
		if err := bump(t.Context(), c, user); err != nil {
			t.Fatal(err)
		}
		if got := clockOf(t, c, user); got != 1 || c.For(user) != to {
			t.Fatalf("read %d from %s", got, c.For(user))
		}
	})
}

func TestAnEpochThatGoesDownStopsWrites(t *testing.T) {
	each(t, func(t *testing.T, p shardingtest.Profile) {
		c, o := open(t, p)
		makeUser(t, c, 9)
		fence(t, c, o, p, c.For(9), c.Bucket(9), int(sharding.StateOpen), 0)
		if err := bump(t.Context(), c, 9); err != nil {
			t.Fatal(err)
		}
		if _, err := raw(t, o, p, c.For(9)).Exec(`UPDATE shard_state SET epoch = epoch - 1`); err != nil {
			t.Fatal(err)
		}
		var down *sharding.EpochError
		if err := bump(t.Context(), c, 9); !errors.As(err, &down) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestTheJournalHasEachChangedKeyOfItsBucketAlone(t *testing.T) {
	each(t, func(t *testing.T, p shardingtest.Profile) {
		c, o := open(t, p)
		makeUser(t, c, 9)
		makeUser(t, c, 13)
		fence(t, c, o, p, c.For(9), c.Bucket(9), int(sharding.StateCopying), 1)
		for _, user := range []int64{9, 9, 13} {
			if err := bump(t.Context(), c, user); err != nil {
				t.Fatal(err)
			}
		}
		var n, version int
		var pk, table string
		row := raw(t, o, p, c.For(9)).QueryRow(`SELECT COUNT(*), MAX(version), MAX(pk), MAX(tbl) FROM journal`)
		if err := row.Scan(&n, &version, &pk, &table); err != nil {
			t.Fatal(err)
		}
		if n != 1 || version != 2 || pk != "[9,9]" || table != "user_info" {
			t.Fatalf("%d rows, version %d, key %s of %s", n, version, pk, table)
		}
	})
}

func TestSessionsAreReadCommittedStrictAndUTC(t *testing.T) {
	c, _ := open(t, shardingtest.Cluster())
	err := c.Read(t.Context(), 1, func(ctx context.Context, r *sharding.Reader) error {
		var isolation, mode, zone string
		var threshold int
		err := r.QueryRow(ctx, `SELECT @@tx_isolation, @@sql_mode, @@time_zone, @@in_predicate_conversion_threshold`).Scan(&isolation, &mode, &zone, &threshold)
		if isolation != "READ-COMMITTED" || zone != "+00:00" || threshold != 0 {
			t.Errorf("isolation %s, mode %s, zone %s, threshold %d", isolation, mode, zone, threshold)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
