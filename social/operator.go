package social

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"socialctl/sharding"
)

// AccountStatus is an account as its operators see it, in whatever state it is.
type AccountStatus struct {
	ID             UserID           `json:"id"`
	Name           string           `json:"name"`
	DisplayName    string           `json:"display_name"`
	State          string           `json:"state"`    // pending, live, void, disabled or deleted
	Password       bool             `json:"password"` // whether there is one, so that somebody can log in
	MessageCount   int64            `json:"message_count"`
	FollowersCount int64            `json:"followers_count"`
	FollowingCount int64            `json:"following_count"`
	CreatedAt      Millis           `json:"created_at"`
	Bucket         sharding.Bucket  `json:"bucket"`
	Shard          sharding.ShardID `json:"shard"`
}

// Find returns the account that an operator names: by id, or by name with or without @ before it. The error for nobody
// is not_found.
func (a *Accounts) Find(ctx context.Context, ref string) (AccountStatus, error) {
	id, err := ParseUserID(ref)
	if err != nil {
		if id, err = a.b.userByName(ctx, strings.TrimPrefix(ref, "@")); err != nil {
			return AccountStatus{}, err
		}
	}
	found, err := a.b.statuses(ctx, []UserID{id})
	if err != nil {
		return AccountStatus{}, err
	}
	if len(found) == 0 {
		return AccountStatus{}, notFound("account")
	}
	return found[0], nil
}

// CheckCreate says whether Create would be refused, and changes nothing. Errors: name_invalid, name_taken, password_weak,
// too_long.
func (a *Accounts) CheckCreate(ctx context.Context, name, displayName, password string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := checkText(displayName, "/display_name", "display name", MaxDisplayRunes); err != nil {
		return err
	}
	if password != "" {
		if err := checkPassword(password, "/password"); err != nil {
			return err
		}
	}
	_, err := a.b.userByName(ctx, name)
	switch {
	case err == nil:
		return errorf(CodeNameTaken, "/name", "the name %s is taken", name)
	case CodeOf(err) == CodeNotFound:
		return nil
	}
	return err
}

// CheckPassword says whether SetPassword would refuse a password. Errors: password_weak, too_long.
func (a *Accounts) CheckPassword(password string) error { return checkPassword(password, "/password") }

// walkWindow is how many ids are looked for at once. Ids are given out one after the other, so nearly all exist.
const walkWindow = 500

// Walk calls each for every account whose id is above after, in the order of the ids, until it returns an error, which
// Walk returns. Each read looks for a bounded number of exact ids.
func (a *Accounts) Walk(ctx context.Context, after UserID, each func(AccountStatus) error) error {
	end, err := a.b.Cluster.SequenceEnd(ctx, "user_id")
	if err != nil {
		return err
	}
	for from := max(1, int64(after)+1); from < end; from += walkWindow {
		ids := make([]UserID, 0, walkWindow)
		for id := from; id < min(end, from+walkWindow); id++ {
			ids = append(ids, UserID(id))
		}
		found, err := a.b.statuses(ctx, ids)
		if err != nil {
			return err
		}
		slices.SortFunc(found, func(x, y AccountStatus) int { return cmp.Compare(x.ID, y.ID) })
		for _, account := range found {
			if err := each(account); err != nil {
				return err
			}
		}
	}
	return nil
}

// statuses reads accounts by id; those that never were are left out.
func (b *Backend) statuses(ctx context.Context, ids []UserID) ([]AccountStatus, error) {
	found, err := gather(ctx, b.Cluster, ids, func(id UserID) UserID { return id }, b.readStatuses)
	if err != nil {
		return nil, fmt.Errorf("read accounts: %w", err)
	}
	return found, nil
}

func (b *Backend) readStatuses(ctx context.Context, r *sharding.Reader, ids []UserID, out []AccountStatus) ([]AccountStatus, error) {
	args := make([]any, 0, 2*len(ids))
	for _, id := range ids {
		args = append(args, b.bucket(id), int64(id))
	}
	rows, err := r.Query(ctx, `
		SELECT bucket, user_id, name, display_name, state, password_hash <> '', message_count, fans_count, follow_count, created_ms
		FROM user_info {primary}
		WHERE `+r.Dialect().In("bucket, user_id", len(ids)), args...)
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		s := AccountStatus{Shard: r.Shard().ID()}
		var state int64
		if err := rows.Scan(&s.Bucket, &s.ID, &s.Name, &s.DisplayName, &state, &s.Password, &s.MessageCount, &s.FollowersCount,
			&s.FollowingCount, &s.CreatedAt); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		s.State = Meaning("user_info", "state", state)
		out = append(out, s)
	}
	return out, errors.Join(rows.Err(), rows.Close())
}

// NameBucket is the bucket of the row that decides who has a name.
func (a *Accounts) NameBucket(name string) (folded string, bucket sharding.Bucket) {
	folded = foldName(name)
	return folded, a.b.Cluster.BucketOfText(folded)
}

var edgeStates = map[int64]string{stateGone: "gone", stateLive: "live"}

var meanings = map[string]map[int64]string{
	"user_info.state": {accountPending: "pending", accountLive: "live", accountVoid: "void",
		accountDisabled: "disabled", accountDeleted: "deleted"},
	"user_relation.kind":     {relFollow: "follow", relFan: "fan", relBlock: "block", relBlockedBy: "blocked-by", relMute: "mute"},
	"user_relation.state":    edgeStates,
	"msg_info.state":         edgeStates,
	"msg_index.state":        edgeStates,
	"msg_msg_relation.state": edgeStates,
	"user_repost.state":      edgeStates,
}

// Meaning is what a coded value of a table says to a person: Meaning("user_relation", "kind", 2) is "fan". It is "" for a
// value without a name, and for columns that hold no codes.
func Meaning(table, column string, value int64) string {
	switch {
	case table == "outbox" && column == "kind":
		return effectKind(value).String()
	case strings.HasSuffix(column, "visibility"):
		return Visibility(value).String()
	case column == "kind" && strings.HasPrefix(table, "msg_"):
		return Kind(value).String()
	}
	return meanings[table+"."+column][value]
}

// EntryStatus is a row of a timeline as operators see it, gone ones too.
type EntryStatus struct {
	Time    Millis    `json:"time"`
	Message MessageID `json:"message"`
	Kind    Kind      `json:"kind"`
	State   string    `json:"state"`
	Rev     int64     `json:"rev"` // of the follow under which it was written; 0 on one's own
	Limited bool      `json:"limited"`
	Shown   bool      `json:"shown"` // whether reading the timeline shows it now
}

// Entries calls each for the entries of a reader's timeline, newest first, at most limit of them or all for 0, until it
// returns an error, which Entries returns.
func (t *Timelines) Entries(ctx context.Context, reader UserID, limit int, each func(EntryStatus) error) error {
	from := seek{boundary: newestEnd}
	for left := limit; limit == 0 || left > 0; left -= MaxPage {
		n := MaxPage
		if limit > 0 {
			n = min(left, MaxPage)
		}
		rows, err := t.b.entries(ctx, reader, from, n)
		if err != nil {
			return err
		}
		shown := make([]bool, len(rows))
		if err := t.show(ctx, Viewer{UserID: reader}, nil, rows, func(i int, _ *Message) { shown[i] = true }); err != nil {
			return err
		}
		for i, e := range rows {
			carried := e.kind != KindComment || t.b.Config.Timeline.Comments
			err := each(EntryStatus{Time: Millis(e.timeMS), Message: e.id, Kind: e.kind, State: edgeStates[int64(boolState(e.live))],
				Rev: e.rev, Limited: e.limited, Shown: shown[i] && e.live && carried})
			if err != nil {
				return err
			}
		}
		if len(rows) < n {
			return nil
		}
		from = seek{boundary: boundary{at: rows[len(rows)-1].position(), older: true}}
	}
	return nil
}
