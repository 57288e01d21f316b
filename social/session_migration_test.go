package social

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"socialctl/sharding"
	"socialctl/sharding/shardingtest"
)

// Data of an older program: of the sessions of an account it accepted the newest thousand only, and kept the others.
func TestTheMigrationEndsSessionsBeyondTheBound(t *testing.T) {
	for _, p := range shardingtest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			cfg := p.Config(t)
			b, err := Open(t.Context(), cfg, OpenOptions{Role: RoleServer, Log: testLog()})
			if err != nil {
				t.Fatal(err)
			}
			id, other := UserID(1024), UserID(2048)
			db := b.Cluster.RawForTest(b.Cluster.For(int64(id)))
			now := time.Now().UnixMilli()
			insert := func(id UserID, n int, usedMS int64) {
				if _, err := db.ExecContext(t.Context(), `
					INSERT INTO session (bucket, user_id, session_id, token_hash, created_ms, last_used_ms, expires_ms) VALUES (?, ?, ?, ?, ?, ?, ?)`,
					int(b.bucket(id)), int64(id), fmt.Appendf(nil, "%016x", n), []byte("h"), now+int64(n), usedMS, now+1e9); err != nil {
					t.Fatal(err)
				}
			}
			for n := range 1041 { // the older, the later used: the newest thousand count, and of these the last used
				insert(id, n, now+int64(1041-n))
			}
			for n := range 100 {
				insert(other, n, now)
			}
			var before int64
			if err := db.QueryRowContext(t.Context(), `SELECT cache_epoch FROM shard_state WHERE id = 1`).Scan(&before); err != nil {
				t.Fatal(err)
			}
			if _, err := db.ExecContext(t.Context(), `DELETE FROM schema_version WHERE version_id = 2026112801`); err != nil {
				t.Fatal(err)
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := sharding.Migrate(t.Context(), ShardingOptions(cfg, testLog()), false); err != nil {
				t.Fatal(err)
			}
			if b, err = Open(t.Context(), cfg, OpenOptions{Role: RoleServer, Log: testLog()}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = b.Close() })
			db = b.Cluster.RawForTest(b.Cluster.For(int64(id)))
			rows, err := db.QueryContext(t.Context(), `SELECT user_id, session_id FROM session WHERE user_id IN (1024, 2048) ORDER BY user_id, session_id`)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			left := map[UserID][]string{}
			for rows.Next() {
				var owner UserID
				var session string
				if err := rows.Scan(&owner, &session); err != nil {
					t.Fatal(err)
				}
				left[owner] = append(left[owner], session)
			}
			var want []string
			for n := 41; n < 141; n++ {
				want = append(want, fmt.Sprintf("%016x", n))
			}
			if !slices.Equal(left[id], want) || len(left[other]) != 100 {
				t.Errorf("%d sessions are left of 1,041, the first %.40q; %d of 100", len(left[id]), left[id], len(left[other]))
			}
			var after int64
			if err := db.QueryRowContext(t.Context(), `SELECT cache_epoch FROM shard_state WHERE id = 1`).Scan(&after); err != nil || after <= before {
				t.Errorf("the copies of sessions are not known to be old: cache epoch %d, before %d (%v)", after, before, err)
			}
		})
	}
}
