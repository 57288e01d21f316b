package social

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"socialctl/sharding"
	"socialctl/sharding/shardingtest"
	"socialctl/social/schema"
)

// The journal names every row that is changed while its bucket is being copied (DESIGN 4): a mover that trusts it loses
// nothing. Here all buckets are, a story is told, and each row that differs from before is looked up.

const (
	journalStories        = 6 // on SQLite
	journalStoriesCluster = 2
)

func TestEveryChangeIsJournalled(t *testing.T) {
	for _, p := range shardingtest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			cfg := p.Config(t)
			cfg.Timeline.Backfill = 3
			cfg.Timeline.Comments = true
			store := newModelStore(t, cfg)
			defer store.close()
			stories := journalStories
			if p.Cluster {
				stories = journalStoriesCluster
			}
			modelFlags(t, stories)
			changed := map[string]int{}
			rapid.Check(t, func(rt *rapid.T) { newModelRun(rt, store).tellJournalled(rt, changed) })
			for _, table := range schema.Tables {
				t.Logf("%6d rows of %s changed", changed[table.Name], table.Name)
				if changed[table.Name] == 0 {
					t.Errorf("no row of %s was changed: nothing was tried", table.Name)
				}
			}
		})
	}
}

func (r *modelRun) tellJournalled(rt *rapid.T, changed map[string]int) {
	r.begin(rt)
	r.Post(rt)
	r.PostWithKey(rt)
	r.drain(rt)
	b := r.servers[0].Backend
	journalAll(rt, b)
	w := &journalWatch{modelRun: r, changed: changed, last: r.snapshot(rt)}
	rt.Repeat(map[string]func(*rapid.T){"": w.look, "step": r.Step})
	w.otherVerbs(rt)
	r.drain(rt)
	w.look(rt)
	r.clock.Add(25 * 3600_000) // the sweeps, too
	r.drain(rt)
	w.look(rt)
}

// journalAll switches the journal on for all buckets, as a mover does for one, and empties it.
func journalAll(t rapid.TB, b *Backend) {
	t.Helper()
	for _, statement := range []string{
		fmt.Sprintf(`UPDATE bucket_state SET journal = 1, state = %d`, int(sharding.StateCopying)),
		`DELETE FROM journal`,
		`UPDATE shard_state SET epoch = epoch + 1`,
	} {
		for _, shard := range b.Cluster.Shards() {
			if _, err := b.Cluster.RawForTest(shard).ExecContext(context.Background(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
	}
}

// journalWatch compares what lies in the shards with what lay there when it looked before.
type journalWatch struct {
	*modelRun
	changed map[string]int
	last    map[string]map[string]map[string]string
}

func (w *journalWatch) look(rt *rapid.T) {
	now := w.snapshot(rt)
	journal := w.journal(rt) // read after the rows: what they show was journalled with them
	for shard, tables := range now {
		for table, after := range tables {
			before := w.last[shard][table]
			for _, key := range differing(before, after) {
				w.changed[table]++
				if !journal[shard][table+key] {
					rt.Errorf("%s: %s %s was %q and is %q, and the journal does not name it", shard, table, key, before[key], after[key])
				}
			}
		}
	}
	w.last = now
}

func differing(before, after map[string]string) []string {
	out := map[string]bool{}
	for key, row := range after {
		if was, ok := before[key]; !ok || was != row {
			out[key] = true
		}
	}
	for key := range before {
		if _, ok := after[key]; !ok {
			out[key] = true
		}
	}
	return slices.Sorted(maps.Keys(out))
}

// otherVerbs are those that the model does not know.
func (r *journalWatch) otherVerbs(rt *rapid.T) {
	s := r.server(rt)
	name := r.prefix + "other"
	first, err := s.Accounts.SignUp(r.ctx, SignUp{Name: name, Password: "correct horse"})
	r.must(rt, "sign up", err)
	second, err := s.Sessions.LogIn(r.ctx, name, "correct horse")
	r.must(rt, "log in", err)
	v, err := s.Sessions.Authenticate(r.ctx, second.Token)
	r.must(rt, "authenticate", err)
	r.look(rt)
	r.clock.Add(2 * lastUsedEvery) // the next use of a session is noted
	_, err = s.Sessions.Authenticate(r.ctx, second.Token)
	r.must(rt, "authenticate", err)
	r.look(rt)
	bio, old, next := "a bio", "correct horse", "battery staple"
	_, err = s.Accounts.Update(r.ctx, v, ProfilePatch{Bio: &bio, Password: &next, CurrentPassword: &old})
	r.must(rt, "update", err)
	_, err = s.Sessions.Authenticate(r.ctx, first.Token)
	r.answered(rt, "a session from before the password", err, CodeTokenInvalid)
	r.look(rt)
	ids, made, err := s.Accounts.CreateMany(r.ctx, []NewAccount{{Name: r.prefix + "many1"}, {Name: r.prefix + "many2"}})
	if err != nil || made != 2 {
		rt.Fatalf("create many: %d, %v", made, err)
	}
	_, err = s.Relations.Import(r.ctx, []ImportedFollow{{Follower: v.UserID, Followed: ids[0]}, {Follower: ids[0], Followed: v.UserID}})
	r.must(rt, "import follows", err)
	_, err = s.Messages.Import(r.ctx, []ImportedMessage{{Author: v.UserID, Source: "test", External: name, At: Millis(s.now()),
		Kind: KindOriginal, Content: "imported"}})
	r.must(rt, "import a message", err)
	mine := MessageID{v.UserID, 1}
	_, _, err = s.Messages.Repost(r.ctx, v, mine, "", KeyUse{Key: "key", Route: "route"})
	r.must(rt, "repost", err)
	r.look(rt)
	_, err = s.Messages.Unrepost(r.ctx, v, mine)
	r.must(rt, "unrepost", err)
	r.look(rt)
	r.must(rt, "disable", s.Accounts.Disable(r.ctx, ids[1]))
	r.must(rt, "enable", s.Accounts.Enable(r.ctx, ids[1]))
	r.must(rt, "give a password", s.Accounts.SetPassword(r.ctx, ids[1], next))
	r.look(rt)
	r.must(rt, "delete an account", s.Accounts.Delete(r.ctx, v, next))
}

// snapshot reads all tables: by shard, table and key as the journal writes it, a text of the whole row.
func (r *modelRun) snapshot(rt *rapid.T) map[string]map[string]map[string]string {
	out := map[string]map[string]map[string]string{}
	cluster := r.servers[0].Cluster
	for _, shard := range cluster.Shards() {
		out[shard.Schema()] = map[string]map[string]string{}
		for _, table := range schema.Tables {
			rows, err := snapshotOf(r.ctx, cluster.RawForTest(shard), table)
			r.must(rt, "read "+table.Name, err)
			out[shard.Schema()][table.Name] = rows
		}
	}
	return out
}

func snapshotOf(ctx context.Context, db *sql.DB, table schema.Table) (map[string]string, error) {
	rows, err := db.QueryContext(ctx, `SELECT * FROM `+table.Name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for rows.Next() {
		values := make([]sql.RawBytes, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		var key, row []string
		for i, column := range columns {
			if i < len(table.Key) && column != table.Key[i] {
				return nil, fmt.Errorf("the key of %s is not its first columns", table.Name)
			}
			if i < len(table.Key) {
				key = append(key, journalText(column, values[i]))
			}
			row = append(row, column+" "+string(values[i]))
		}
		out["["+strings.Join(key, ",")+"]"] = strings.Join(row, ", ")
	}
	return out, rows.Err()
}

// journalText is one part of a key as the journal has it: a number, or bytes in hexadecimal.
func journalText(column string, value []byte) string {
	switch column {
	case "name", "session_id", "key_hash", "source", "external_id":
		return `{"hex":"` + hex.EncodeToString(value) + `"}`
	}
	return string(value)
}

// journal is what the journals name, as table and key.
func (r *modelRun) journal(rt *rapid.T) map[string]map[string]bool {
	out := map[string]map[string]bool{}
	cluster := r.servers[0].Cluster
	for _, shard := range cluster.Shards() {
		named := map[string]bool{}
		err := eachRow(r.ctx, cluster.RawForTest(shard), `SELECT bucket, tbl, pk, version FROM journal`, func(scan func(...any) error) error {
			var bucket, version int
			var table, key []byte
			if err := scan(&bucket, &table, &key, &version); err != nil {
				return err
			}
			var parts []json.RawMessage
			if err := json.Unmarshal(key, &parts); err != nil || len(parts) == 0 || string(parts[0]) != strconv.Itoa(bucket) || version < 1 {
				rt.Errorf("the journal of bucket %d has %s %s at version %d: %v", bucket, table, key, version, err)
			}
			named[string(table)+string(key)] = true
			return nil
		})
		r.must(rt, "read the journal", err)
		out[shard.Schema()] = named
	}
	return out
}
