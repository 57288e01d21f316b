package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"socialctl/configs"
	"socialctl/sharding/shardingtest"
	"socialctl/social"
)

// onEach runs a test on the embedded default and on the real servers, with two people of whom the second follows the
// first.
func onEach(t *testing.T, test func(t *testing.T, b *social.Backend, ada, bob social.UserID)) {
	for _, p := range shardingtest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			b := openBackend(t, p.Config(t))
			var ids [2]social.UserID
			for i, name := range []string{"ada", "bob"} {
				id, err := b.Accounts.Create(t.Context(), name, "", "")
				if err != nil {
					t.Fatal(err)
				}
				ids[i] = id
			}
			if _, err := b.Relations.Follow(t.Context(), social.Viewer{UserID: ids[1]}, ids[0]); err != nil {
				t.Fatal(err)
			}
			test(t, b, ids[0], ids[1])
		})
	}
}

func openBackend(t *testing.T, cfg configs.Config) *social.Backend {
	t.Helper()
	b, err := social.Open(t.Context(), cfg, social.OpenOptions{Role: social.RoleServer, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// pass works off what is owed until nothing but sweeps is left.
func pass(t *testing.T, b *social.Backend) {
	t.Helper()
	for range 1000 {
		if _, err := b.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		all, err := b.OutboxStatus(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(all, func(s social.OutboxStatus) bool { return s.Kind != "sweep" }) {
			return
		}
	}
	t.Fatal("something stays owed")
}

func TestInspectRelationFindsADisagreement(t *testing.T) {
	onEach(t, func(t *testing.T, b *social.Backend, ada, bob social.UserID) {
		pass(t, b)
		found, err := InspectRelation(t.Context(), b, "ada", bob.String())
		if err != nil || len(found.Problems) != 0 || len(found.Rows) != 2 {
			t.Fatalf("%+v, %v", found, err)
		}
		raw := b.Cluster.RawForTest(b.Cluster.For(int64(ada)))
		if _, err := raw.ExecContext(t.Context(), `UPDATE user_relation SET state = 0 WHERE user_id = ? AND kind = 2`, int64(ada)); err != nil {
			t.Fatal(err)
		}
		found, err = InspectRelation(t.Context(), b, "@bob", "ada")
		if err != nil || len(found.Problems) != 1 || !strings.Contains(found.Problems[0], "has follow of") {
			t.Fatalf("%+v, %v", found, err)
		}
		if _, err := InspectRelation(t.Context(), b, "ada", "nobody"); social.CodeOf(err) != social.CodeNotFound {
			t.Errorf("nobody: %v", err)
		}
	})
}

// TestInspectRelationWaitsForWhatIsOwed: a follow that has not reached the other shard is no disagreement, be it one
// person's or one of an import's many.
func TestInspectRelationWaitsForWhatIsOwed(t *testing.T) {
	onEach(t, func(t *testing.T, b *social.Backend, ada, bob social.UserID) {
		pass(t, b)
		raw := b.Cluster.RawForTest(b.Cluster.For(int64(bob)))
		bucket := b.Cluster.Bucket(int64(bob))
		if _, err := raw.ExecContext(t.Context(), `UPDATE user_relation SET rev = rev + 1 WHERE user_id = ? AND kind = 1`, int64(bob)); err != nil {
			t.Fatal(err)
		}
		for _, owed := range []struct {
			kind    int
			target  int64
			payload string
		}{
			{2, int64(ada), `{}`},
			{7, 0, fmt.Sprintf(`{"edges":[[5,6,1],[%d,%d,1]]}`, bob, ada)},
		} {
			_, err := raw.ExecContext(t.Context(), `
				INSERT INTO outbox (bucket, user_id, event_id, kind, target, due_ms, attempts, created_ms, payload, progress)
				VALUES (?, ?, 1, ?, ?, 1, 0, 1, ?, '{}')`, bucket, int64(bob), owed.kind, owed.target, owed.payload)
			if err != nil {
				t.Fatal(err)
			}
			found, err := InspectRelation(t.Context(), b, "ada", "bob")
			if err != nil || len(found.Problems) != 0 || len(found.Rows) != 3 {
				t.Errorf("owed as %d: %+v, %v", owed.kind, found, err)
			}
			if _, err := raw.ExecContext(t.Context(), `DELETE FROM outbox WHERE event_id = 1`); err != nil {
				t.Fatal(err)
			}
		}
		if found, err := InspectRelation(t.Context(), b, "ada", "bob"); err != nil || len(found.Problems) != 1 {
			t.Errorf("nothing owed: %+v, %v", found, err)
		}
	})
}

func TestInspectedRowsAreAlikeOnBothEngines(t *testing.T) {
	onEach(t, func(t *testing.T, b *social.Backend, ada, _ social.UserID) {
		if _, err := b.Sessions.Grant(t.Context(), ada); err != nil {
			t.Fatal(err)
		}
		m, err := b.Messages.Publish(t.Context(), social.Viewer{UserID: ada}, social.Draft{Content: "0123"}, social.KeyUse{})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := InspectUser(t.Context(), b, "ada")
		if err != nil {
			t.Fatal(err)
		}
		tables := map[string]int{}
		for _, row := range rows {
			tables[row.Table]++
			if row.Table == "session" && (row.Fields.Text("token_hash") != hidden || len(row.Fields.Text("session_id")) != 16) {
				t.Errorf("%+v", row)
			}
		}
		if tables["user_info"] != 1 || tables["user_name"] != 1 || tables["session"] != 1 || tables["outbox"] == 0 {
			t.Errorf("read %v", tables)
		}
		rows, err = InspectMessage(t.Context(), b, m.ID)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(rows)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{`"table":"msg_info"`, `"table":"msg_index"`, `"table":"outbox"`, `"content":"0123"`,
			`"visibility":1,"visibility_means":"public"`, `"kind":20,"kind_means":"fan-out"`} {
			if !strings.Contains(string(text), part) {
				t.Errorf("%s lacks %s", text, part)
			}
		}
		owed, err := InspectOwed(t.Context(), b, OwedQuery{Shard: -1, Owner: ada, Limit: 1})
		if err != nil || len(owed) != 1 || owed[0].Fields.Int("user_id") != int64(ada) {
			t.Errorf("%+v, %v", owed, err)
		}
	})
}

func TestCollectorsShowWhatRuns(t *testing.T) {
	onEach(t, func(t *testing.T, b *social.Backend, ada, _ social.UserID) {
		if _, err := b.Messages.Publish(t.Context(), social.Viewer{UserID: ada}, social.Draft{Content: "x"}, social.KeyUse{}); err != nil {
			t.Fatal(err)
		}
		registry := prometheus.NewRegistry()
		for _, c := range Collectors(b) {
			registry.MustRegister(c)
		}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				name := f.GetName()
				for _, label := range m.GetLabel() {
					name += " " + label.GetValue()
				}
				values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
		shard := fmt.Sprint(b.Cluster.For(int64(ada)).ID())
		if values["socialctl_outbox_effects fan-out "+shard] != 1 || values["socialctl_outbox_due_effects fan-out "+shard] != 1 ||
			values["socialctl_sql_connections "+shard+" open"] < 1 || values["socialctl_outbox_counts_failed_total"] != 0 {
			t.Errorf("%v", values)
		}
		if age := values["socialctl_outbox_oldest_seconds fan-out "+shard]; age < 0 || age > 60 {
			t.Errorf("the oldest is %v seconds old", age)
		}
	})
}

func TestShardStatusOfPeople(t *testing.T) {
	for _, p := range shardingtest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			cfg := p.Config(t)
			b := openBackend(t, cfg)
			for i := range 8 {
				id, err := b.Accounts.Create(t.Context(), fmt.Sprintf("p%d", i), "", "")
				if err == nil && i == 0 {
					err = b.Accounts.Erase(t.Context(), id)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			reports, err := ShardStatus(t.Context(), cfg, slog.New(slog.NewTextHandler(io.Discard, nil)))
			if err != nil || len(reports) != 4 {
				t.Fatalf("%d shards, %v", len(reports), err)
			}
			var total, deleted int64
			for _, r := range reports {
				total += r.Total
				deleted += r.People["deleted"]
				if r.Problem != "" || r.Total != 2 && (r.Total != 1 || r.People["deleted"] != 1) {
					t.Errorf("%+v", r)
				}
			}
			if total != 7 || deleted != 1 {
				t.Errorf("%d people, %d deleted", total, deleted)
			}
		})
	}
}
