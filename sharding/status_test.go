package sharding_test

import (
	"context"
	"errors"
	"strconv"
	"testing"

	"socialctl/sharding"
	"socialctl/sharding/shardingtest"
	"socialctl/social/schema"
)

func tableNames() []string {
	var names []string
	for _, table := range schema.Tables {
		names = append(names, table.Name)
	}
	return names
}

// putPeople writes n rows of user_name, which is the narrowest table, in the buckets 0 to n-1.
func putPeople(t *testing.T, c *sharding.Cluster, n int) {
	t.Helper()
	for i := range n {
		b := sharding.Bucket(i)
		err := c.WriteBucket(t.Context(), b, func(ctx context.Context, tx *sharding.Tx) error {
			name := []byte("n" + strconv.Itoa(i))
			_, err := tx.Exec(ctx, sharding.Key("user_name", b, name),
				`INSERT INTO user_name (bucket, name, user_id, created_ms) VALUES (?, ?, ?, ?)`, b, name, i, i%2)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestStatusOfAShard(t *testing.T) {
	each(t, func(t *testing.T, p shardingtest.Profile) {
		c, _ := open(t, p)
		putPeople(t, c, 40)
		shard := c.Shard(1)
		if p.Cluster { // its statistics are brought up to date by itself, some time
			if _, err := c.RawForTest(shard).ExecContext(t.Context(), `ANALYZE TABLE user_name`); err != nil {
				t.Fatal(err)
			}
		}
		st, err := c.Status(t.Context(), shard, tableNames())
		if err != nil {
			t.Fatal(err)
		}
		if st.Epoch != 1 || st.Seen != 1 || st.Mapped != 16 || st.Buckets[sharding.StateOpen] != 16 || len(st.Buckets) != 1 {
			t.Errorf("%+v", st)
		}
		if len(st.Tables) != len(schema.Tables) || st.Bytes <= 0 {
			t.Errorf("%d tables, %d bytes", len(st.Tables), st.Bytes)
		}
		for _, table := range st.Tables {
			if table.Name == "user_name" && (table.Rows != 10 || table.Bytes <= 0) {
				t.Errorf("%+v", table)
			}
		}
		counts, err := c.CountBy(t.Context(), shard, "user_name", "created_ms")
		if err != nil || len(counts) != 1 || counts[1] != 10 {
			t.Errorf("counted %v, %v", counts, err)
		}
		if _, err := c.CountBy(t.Context(), shard, "user_name; DROP TABLE user_name", "created_ms"); err == nil {
			t.Error("a table's name was not checked")
		}
		pools := c.Pools()
		if len(pools) != 5 || pools[0].Shard != "meta" || pools[2].Shard != "1" || pools[2].Open == 0 {
			t.Errorf("%+v", pools)
		}
	})
}

// TestStatusCountsOnlyOpenBuckets: copies that a move has left behind are nobody's people (REVIEW F14).
func TestStatusCountsOnlyOpenBuckets(t *testing.T) {
	each(t, func(t *testing.T, p shardingtest.Profile) {
		c, _ := open(t, p)
		putPeople(t, c, 40)
		raise(t, c, 1, `UPDATE bucket_state SET state = ?, successor = 2 WHERE bucket = 5`, int(sharding.StateGone))
		counts, err := c.CountBy(t.Context(), c.Shard(1), "user_name", "created_ms")
		if err != nil || counts[1] != 9 {
			t.Errorf("counted %v, %v", counts, err)
		}
	})
}

// raise changes states of buckets as a move would: with the shard's epoch.
func raise(t *testing.T, c *sharding.Cluster, shard sharding.ShardID, query string, args ...any) {
	t.Helper()
	db := c.RawForTest(c.Shard(shard))
	for _, q := range []struct {
		query string
		args  []any
	}{{query, args}, {`UPDATE shard_state SET epoch = epoch + 1 WHERE id = 1`, nil}} {
		if _, err := db.ExecContext(t.Context(), q.query, q.args...); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCoverFindsWhatIsMisplaced(t *testing.T) {
	each(t, func(t *testing.T, p shardingtest.Profile) {
		c, _ := open(t, p)
		want := func(texts ...string) {
			t.Helper()
			found, err := c.Cover(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for i, m := range found {
				if i >= len(texts) || m.String() != texts[i] {
					t.Errorf("found %v, want %q", found, texts)
					return
				}
			}
			if len(found) != len(texts) {
				t.Errorf("found %v, want %q", found, texts)
			}
		}
		want()
		const insert = `INSERT INTO bucket_state (bucket, state, journal, move_id, token, successor, archive_bound, archive_checkpoint, archive_generation)
			VALUES (?, ?, 0, 0, 0, -1, 0, '', 0)`
		raise(t, c, 2, insert, 1, int(sharding.StateIncoming))
		want()
		raise(t, c, 1, `UPDATE bucket_state SET state = ?, successor = 2 WHERE bucket = 1`, int(sharding.StateGone))
		want("bucket 1 has left its shard and is not open on the next one")
		raise(t, c, 2, `UPDATE bucket_state SET state = ? WHERE bucket = 1`, int(sharding.StateOpen))
		want("bucket 1 is open on shard 2, and the map says 1")
		raise(t, c, 1, `UPDATE bucket_state SET state = ? WHERE bucket = 1`, int(sharding.StateOpen))
		want("bucket 1 is open on shards [1 2]")
		raise(t, c, 3, `DELETE FROM bucket_state WHERE bucket = 3`)
		want("bucket 1 is open on shards [1 2]", "bucket 3 is open nowhere")
	})
}

func TestSequenceEnd(t *testing.T) {
	each(t, func(t *testing.T, p shardingtest.Profile) {
		c, _ := open(t, p)
		if end, err := c.SequenceEnd(t.Context(), "some"); err != nil || end != 1 {
			t.Errorf("unused: %d, %v", end, err)
		}
		if _, err := c.Sequence("some", 7).Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		if end, err := c.SequenceEnd(t.Context(), "some"); err != nil || end != 8 {
			t.Errorf("after a block of 7: %d, %v", end, err)
		}
	})
}

func TestProbeServer(t *testing.T) {
	for _, p := range shardingtest.Profiles() {
		if !p.Cluster {
			continue
		}
		dsn := shardingtest.Service(t, "SOCIALCTL_TEST_MYSQL_A")
		facts, err := sharding.ProbeServer(t.Context(), "a", sharding.DatabaseOptions{DSN: dsn})
		if err != nil {
			t.Fatal(err)
		}
		if facts.Version == "" || facts.Variables["max_connections"] == "" || facts.RoundTrip <= 0 || facts.ClockDiff.Abs() > facts.RoundTrip+1e7 {
			t.Errorf("%+v", facts)
		}
	}
	_, err := sharding.ProbeServer(t.Context(), "gone", sharding.DatabaseOptions{DSN: "u:p@tcp(127.0.0.1:9)/"})
	var away *sharding.UnavailableError
	if !errors.As(err, &away) {
		t.Errorf("a server that is not there: %v", err)
	}
}
