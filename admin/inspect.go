package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"socialctl/sharding"
	"socialctl/social"
)

// rowsShown bounds the rows of what an account owes that an inspection of the account shows; `inspect outbox` goes on.
const rowsShown = 50

// InspectUser reads an account's rows: its own, its name's, its sessions, and what it owes. The error for nobody is
// not_found.
func InspectUser(ctx context.Context, b *social.Backend, ref string) ([]Row, error) {
	account, err := b.Accounts.Find(ctx, ref)
	if err != nil {
		return nil, err
	}
	var all []Row
	bucket := b.Cluster.Bucket(int64(account.ID))
	err = b.Cluster.Read(ctx, int64(account.ID), func(ctx context.Context, r *sharding.Reader) error {
		all = nil
		for _, q := range []struct{ table, rest string }{
			{"user_info", ""},
			{"session", " ORDER BY created_ms DESC"}, // session.max_per_account at most
			{"outbox", fmt.Sprintf(" ORDER BY event_id LIMIT %d", rowsShown)},
		} {
			rows, err := readRows(ctx, r, q.table, `WHERE bucket = ? AND user_id = ?`+q.rest, bucket, int64(account.ID))
			if err != nil {
				return err
			}
			all = append(all, rows...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at account %d: %w", account.ID, err)
	}
	name, err := nameRows(ctx, b, account.Name)
	return append(all, name...), err
}

func nameRows(ctx context.Context, b *social.Backend, name string) ([]Row, error) {
	folded, bucket := b.Accounts.NameBucket(name)
	var rows []Row
	err := b.Cluster.ReadBucket(ctx, bucket, func(ctx context.Context, r *sharding.Reader) error {
		var err error
		rows, err = readRows(ctx, r, "user_name", `WHERE bucket = ? AND name = ?`, bucket, []byte(folded))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look at the name %s: %w", name, err)
	}
	return rows, nil
}

// InspectMessage reads a message's rows: its own, the author's entry of it, a repost's mark, its edges in the shards of
// what it refers to, and the author's jobs about it. The error for a message that never was is not_found.
func InspectMessage(ctx context.Context, b *social.Backend, id social.MessageID) ([]Row, error) {
	var all []Row
	var refers []social.MessageID
	author, bucket := int64(id.Author), b.Cluster.Bucket(int64(id.Author))
	err := b.Cluster.Read(ctx, author, func(ctx context.Context, r *sharding.Reader) error {
		all, refers = nil, nil
		rows, err := readRows(ctx, r, "msg_info", `WHERE bucket = ? AND user_id = ? AND msg_id = ?`, bucket, author, id.N)
		if err != nil || len(rows) == 0 {
			return err
		}
		all = rows
		f := rows[0].Fields
		parent := social.MessageID{Author: social.UserID(f.Int("parent_id")), N: f.Int("parent_msg_id")}
		origin := social.MessageID{Author: social.UserID(f.Int("origin_id")), N: f.Int("origin_msg_id")}
		refers = slices.Compact([]social.MessageID{parent, origin})
		for _, q := range []struct {
			table, where string
			args         []any
		}{
			{"msg_index", `WHERE bucket = ? AND user_id = ? AND time_ms = ? AND author_id = ? AND msg_id = ?`,
				[]any{bucket, author, f.Int("time_ms"), author, id.N}},
			{"user_repost", `WHERE bucket = ? AND user_id = ? AND referenced_id = ? AND referenced_msg_id = ? AND msg_id = ?`,
				[]any{bucket, author, int64(parent.Author), parent.N, id.N}},
		} {
			rows, err := readRows(ctx, r, q.table, q.where, q.args...)
			if err != nil {
				return err
			}
			all = append(all, rows...)
		}
		jobs, err := jobsAbout(ctx, r, bucket, id)
		all = append(all, jobs...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look at message %s: %w", id, err)
	}
	if len(all) == 0 {
		return nil, &social.Error{Code: social.CodeNotFound, Message: "there never was a message " + id.String()}
	}
	for _, on := range refers {
		if on.IsZero() {
			continue
		}
		edges, err := edgeRows(ctx, b, on, id)
		if err != nil {
			return nil, err
		}
		all = append(all, edges...)
	}
	return all, nil
}

// jobsAbout returns the author's fan-outs and removals of the message, from the newest of what the author owes.
func jobsAbout(ctx context.Context, r *sharding.Reader, bucket sharding.Bucket, id social.MessageID) ([]Row, error) {
	return owedWhere(ctx, r, `bucket = ? AND user_id = ?`, []any{bucket, int64(id.Author)}, func(row Row) bool {
		var about struct {
			N    int64   `json:"n"`
			More []int64 `json:"more"`
		}
		if json.Unmarshal([]byte(row.Fields.Text("payload")), &about) != nil {
			return false // another kind's, whose fields mean something else
		}
		return about.N == id.N || slices.Contains(about.More, id.N)
	})
}

// owedWhere reads all rows of the outbox that a condition chooses and that are wanted, a page at a time.
func owedWhere(ctx context.Context, r *sharding.Reader, where string, args []any, wanted func(Row) bool) ([]Row, error) {
	const most = 1000
	var all []Row
	after := []any{-1, 0, 0} // the last key of the page before
	for {
		rows, err := readRows(ctx, r, "outbox", `WHERE `+where+` AND (bucket, user_id, event_id) > (?, ?, ?)
			ORDER BY bucket, user_id, event_id LIMIT ?`, append(append(slices.Clone(args), after...), most)...)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if wanted(row) {
				all = append(all, row)
			}
		}
		if len(rows) < most {
			return all, nil
		}
		last := rows[len(rows)-1]
		after = []any{last.Bucket, last.Fields.Int("user_id"), last.Fields.Int("event_id")}
	}
}

func edgeRows(ctx context.Context, b *social.Backend, on, by social.MessageID) ([]Row, error) {
	var rows []Row
	bucket := b.Cluster.Bucket(int64(on.Author))
	err := b.Cluster.Read(ctx, int64(on.Author), func(ctx context.Context, r *sharding.Reader) error {
		var err error
		rows, err = readRows(ctx, r, "msg_msg_relation", `
			WHERE bucket = ? AND referenced_id = ? AND referenced_msg_id = ? AND kind IN (?, ?) AND reference_id = ? AND reference_msg_id = ?`,
			bucket, int64(on.Author), on.N, int(social.KindComment), int(social.KindRepost), int64(by.Author), by.N)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look at the edges on %s: %w", on, err)
	}
	return rows, nil
}

// Relation is what two accounts are to each other, as each one's shard has it.
type Relation struct {
	Rows     []Row
	Problems []string // where the two sides of a follow or a block disagree and nothing is owed that would mend it
}

// InspectRelation reads the rows of two accounts about each other. The error for nobody is not_found.
func InspectRelation(ctx context.Context, b *social.Backend, one, other string) (Relation, error) {
	x, errX := b.Accounts.Find(ctx, one)
	y, errY := b.Accounts.Find(ctx, other)
	if err := errors.Join(errX, errY); err != nil {
		return Relation{}, err
	}
	var out Relation
	for range 3 { // the two sides are read one after the other, and may change in between
		var err error
		if out, err = relationOnce(ctx, b, x.ID, y.ID); err != nil || len(out.Problems) == 0 {
			return out, err
		}
	}
	return out, nil
}

func relationOnce(ctx context.Context, b *social.Backend, x, y social.UserID) (Relation, error) {
	var out Relation
	owed := false
	for _, side := range [][2]social.UserID{{x, y}, {y, x}} {
		rows, work, err := relationRows(ctx, b, side[0], side[1])
		if err != nil {
			return Relation{}, fmt.Errorf("look at what account %d has about %d: %w", side[0], side[1], err)
		}
		out.Rows = append(append(out.Rows, rows...), work...)
		owed = owed || len(work) > 0
	}
	if !owed {
		out.Problems = append(disagreements(out.Rows, x, y), disagreements(out.Rows, y, x)...)
	}
	return out, nil
}

// relationRows reads one side's rows, and what that side owes the other.
func relationRows(ctx context.Context, b *social.Backend, from, to social.UserID) (rows, owed []Row, err error) {
	bucket := b.Cluster.Bucket(int64(from))
	err = b.Cluster.Read(ctx, int64(from), func(ctx context.Context, r *sharding.Reader) error {
		var err error
		rows, err = readRows(ctx, r, "user_relation", `WHERE bucket = ? AND user_id = ? AND kind IN (1, 2, 3, 4, 5) AND other_id = ?`,
			bucket, int64(from), int64(to))
		if err != nil {
			return err
		}
		owed, err = owedWhere(ctx, r, `bucket = ? AND user_id = ? AND target = ? AND target <> user_id`,
			[]any{bucket, int64(from), int64(to)}, func(Row) bool { return true })
		if err != nil {
			return err
		}
		imported, err := importedFollows(ctx, r, from, to)
		owed = append(owed, imported...)
		return err
	})
	return rows, owed, err
}

// importedFollows returns the chunks of imported follows, of whomever of this shard they are, that have the follow in
// them and are still owed.
func importedFollows(ctx context.Context, r *sharding.Reader, from, to social.UserID) ([]Row, error) {
	return owedWhere(ctx, r, `target = 0`, nil, func(row Row) bool {
		var chunk struct {
			Edges [][3]int64 `json:"edges"`
		}
		if json.Unmarshal([]byte(row.Fields.Text("payload")), &chunk) != nil {
			return false
		}
		return slices.ContainsFunc(chunk.Edges, func(e [3]int64) bool { return e[0] == int64(from) && e[1] == int64(to) })
	})
}

// disagreements compares what from has decided about to with what is known of it on the other side.
func disagreements(rows []Row, from, to social.UserID) []string {
	find := func(owner, other social.UserID, kind string) (state, rev int64) {
		for _, row := range rows {
			if row.Table == "user_relation" && row.Fields.Int("user_id") == int64(owner) && row.Fields.Int("other_id") == int64(other) &&
				social.Meaning("user_relation", "kind", row.Fields.Int("kind")) == kind {
				return row.Fields.Int("state"), row.Fields.Int("rev")
			}
		}
		return 0, 0
	}
	var out []string
	for mine, theirs := range map[string]string{"follow": "fan", "block": "blocked-by"} {
		state, rev := find(from, to, mine)
		knownState, knownRev := find(to, from, theirs)
		if state != knownState || rev != knownRev {
			out = append(out, fmt.Sprintf("account %d has %s of %d at rev %d, %s; account %d has %s at rev %d, %s", from, mine, to, rev,
				social.Meaning("user_relation", "state", state), to, theirs, knownRev, social.Meaning("user_relation", "state", knownState)))
		}
	}
	slices.Sort(out)
	return out
}
