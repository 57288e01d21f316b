package social

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"socialctl/sharding"
)

// profile is a row of user_info as it is shown.
type profile struct {
	id                             UserID
	name, display, bio             string
	createdMS                      int64
	messages, followers, following int64
	state                          int
}

// live reports whether the account is there for others; nil is nobody.
func (p *profile) live() bool { return p != nil && p.state == accountLive }

// viewerState is what decides, on the reader's side, what a reader sees: rows of the reader's own shard.
type viewerState struct {
	follows   map[UserID]int64 // the rev of the live follow
	blocks    map[UserID]struct{}
	blockedBy map[UserID]struct{}
	mutes     map[UserID]struct{}
	reposts   map[MessageID]struct{} // what the reader has a live repost without words of
}

// stranger is the state of a reader who has no account.
var stranger = &viewerState{}

// apart reports whether a block lies between the reader and the other, in either direction.
func (v *viewerState) apart(other UserID) bool {
	_, blocks := v.blocks[other]
	_, blocked := v.blockedBy[other]
	return blocks || blocked
}

func (v *viewerState) muted(other UserID) bool {
	_, ok := v.mutes[other]
	return ok
}

// maxKeys bounds the exact keys of one statement, maxRows the rows of one page of a person's relations.
const (
	maxKeys = 500
	maxRows = 2000
)

// gather reads rows by exact keys of many people, with one statement a shard and maxKeys of them, the shards side by
// side. read appends to what it is given. A bucket that has just moved is followed.
func gather[K, R any](ctx context.Context, c *sharding.Cluster, keys []K, owner func(K) UserID,
	read func(ctx context.Context, r *sharding.Reader, keys []K, rows []R) ([]R, error)) ([]R, error) {
	shards := map[*sharding.Shard][]K{}
	for _, k := range keys {
		s := c.For(int64(owner(k)))
		shards[s] = append(shards[s], k)
	}
	if len(shards) == 1 {
		for shard := range shards {
			return gatherFrom(ctx, c, shard, keys, owner, read)
		}
	}
	found := make([][]R, len(shards))
	group, within := errgroup.WithContext(ctx)
	next := 0
	for shard, mine := range shards {
		rows := &found[next]
		next++
		group.Go(func() (err error) {
			*rows, err = gatherFrom(within, c, shard, mine, owner, read)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(found...), nil
}

func gatherFrom[K, R any](ctx context.Context, c *sharding.Cluster, shard *sharding.Shard, keys []K, owner func(K) UserID,
	read func(ctx context.Context, r *sharding.Reader, keys []K, rows []R) ([]R, error)) ([]R, error) {
	var out []R
	all := func(keys []K) func(context.Context, *sharding.Reader) error {
		return func(ctx context.Context, r *sharding.Reader) (err error) {
			out = nil
			for part := range slices.Chunk(keys, maxKeys) {
				if out, err = read(ctx, r, part, out); err != nil {
					return err
				}
			}
			return nil
		}
	}
	buckets := map[sharding.Bucket][]K{}
	for _, k := range keys {
		b := c.Bucket(int64(owner(k)))
		buckets[b] = append(buckets[b], k)
	}
	list := make([]sharding.Bucket, 0, len(buckets))
	for b := range buckets {
		list = append(list, b)
	}
	err := c.ReadShard(ctx, shard, list, all(keys))
	var moved *sharding.NotOpenError
	if !errors.As(err, &moved) {
		return out, err
	}
	var rows []R
	for bucket, mine := range buckets {
		if err := c.ReadBucket(ctx, bucket, all(mine)); err != nil {
			return nil, err
		}
		rows = append(rows, out...)
	}
	return rows, nil
}

// storedRows reads messages, deleted ones too; those that never were are left out.
func (b *Backend) storedRows(ctx context.Context, ids []MessageID) ([]*stored, error) {
	rows, err := gather(ctx, b.Cluster, ids, func(id MessageID) UserID { return id.Author }, b.readStored)
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	return rows, nil
}

func (b *Backend) readStored(ctx context.Context, r *sharding.Reader, ids []MessageID, out []*stored) ([]*stored, error) {
	args := make([]any, 0, 3*len(ids))
	for _, id := range ids {
		args = append(args, b.bucket(id.Author), int64(id.Author), id.N)
	}
	rows, err := r.Query(ctx, `
		SELECT user_id, msg_id, kind, state, visibility, root_visibility, clock, time_ms,
			parent_id, parent_msg_id, origin_id, origin_msg_id, content,
			comment_count, transfer_count, like_count, commented_count, transferred_count,
			(SELECT epoch FROM shard_state WHERE id = 1)
		FROM msg_info {primary}
		WHERE `+r.Dialect().In("bucket, user_id, msg_id", len(ids)), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var epoch int64
	for rows.Next() {
		var m stored
		var state int
		if err := rows.Scan(&m.id.Author, &m.id.N, &m.kind, &state, &m.visibility, &m.rootVisibility, &m.clock, &m.timeMS,
			&m.parent.Author, &m.parent.N, &m.origin.Author, &m.origin.N, &m.content,
			&m.comments, &m.reposts, &m.likes, &m.commented, &m.transferred, &epoch); err != nil {
			return nil, err
		}
		m.live = state == stateLive
		out = append(out, &m)
	}
	r.SawEpoch(epoch)
	return out, rows.Err()
}

// profileRows reads accounts in whatever state; those that never were are left out.
func (b *Backend) profileRows(ctx context.Context, ids []UserID) ([]*profile, error) {
	rows, err := gather(ctx, b.Cluster, ids, func(id UserID) UserID { return id }, b.readProfiles)
	if err != nil {
		return nil, fmt.Errorf("read accounts: %w", err)
	}
	return rows, nil
}

func (b *Backend) readProfiles(ctx context.Context, r *sharding.Reader, ids []UserID, out []*profile) ([]*profile, error) {
	args := make([]any, 0, 2*len(ids))
	for _, id := range ids {
		args = append(args, b.bucket(id), int64(id))
	}
	rows, err := r.Query(ctx, `
		SELECT user_id, name, display_name, bio, created_ms, message_count, fans_count, follow_count, state,
			(SELECT epoch FROM shard_state WHERE id = 1)
		FROM user_info {primary}
		WHERE `+r.Dialect().In("bucket, user_id", len(ids)), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var epoch int64
	for rows.Next() {
		var p profile
		if err := rows.Scan(&p.id, &p.name, &p.display, &p.bio, &p.createdMS, &p.messages, &p.followers, &p.following,
			&p.state, &epoch); err != nil {
			return nil, err
		}
		out = append(out, &p)
	}
	r.SawEpoch(epoch)
	return out, rows.Err()
}

// relationKey names a row of user_relation.
type relationKey struct {
	owner UserID
	kind  int
	other UserID
}

type relationRow struct {
	key relationKey
	relation
}

// relations reads rows of user_relation as they are now; absent ones are left out.
func (b *Backend) relations(ctx context.Context, keys []relationKey) ([]relationRow, error) {
	rows, err := gather(ctx, b.Cluster, keys, func(k relationKey) UserID { return k.owner }, b.readRelations)
	if err != nil {
		return nil, fmt.Errorf("read relations: %w", err)
	}
	return rows, nil
}

func (b *Backend) readRelations(ctx context.Context, r *sharding.Reader, keys []relationKey, out []relationRow) ([]relationRow, error) {
	args := make([]any, 0, 4*len(keys))
	for _, k := range keys {
		args = append(args, b.bucket(k.owner), int64(k.owner), k.kind, int64(k.other))
	}
	rows, err := r.Query(ctx, `
		SELECT user_id, kind, other_id, state, rev, since_clock, from_msg_id, until_msg_id,
			(SELECT epoch FROM shard_state WHERE id = 1)
		FROM user_relation {primary}
		WHERE `+r.Dialect().In("bucket, user_id, kind, other_id", len(keys)), args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var epoch int64
	for rows.Next() {
		var row relationRow
		if err := rows.Scan(&row.key.owner, &row.key.kind, &row.key.other, &row.state, &row.rev, &row.sinceClock,
			&row.fromMsg, &row.untilMsg, &epoch); err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	r.SawEpoch(epoch)
	return out, rows.Err()
}

// viewerRow reads a reader's state from the reader's shard, in pages.
func (b *Backend) viewerRow(ctx context.Context, id UserID) (*viewerState, error) {
	var v *viewerState
	err := b.Cluster.Read(ctx, int64(id), func(ctx context.Context, r *sharding.Reader) error {
		v = &viewerState{follows: map[UserID]int64{}, blocks: map[UserID]struct{}{}, blockedBy: map[UserID]struct{}{},
			mutes: map[UserID]struct{}{}, reposts: map[MessageID]struct{}{}}
		if err := b.readOwnRelations(ctx, r, id, v); err != nil {
			return err
		}
		return b.readOwnReposts(ctx, r, id, v)
	})
	if err != nil {
		return nil, fmt.Errorf("read the reader's relations: %w", err)
	}
	return v, nil
}

// ownRelations reads the kinds of relation that decide what their owner sees; those who follow the owner, of whom there
// may be millions, are not among them.
const ownRelations = `
	SELECT kind, other_id, state, rev
	FROM user_relation {primary}
	WHERE bucket = ? AND user_id = ? AND kind IN (?, ?, ?, ?) AND (kind > ? OR kind = ? AND other_id > ?)
	ORDER BY kind, other_id LIMIT ?`

func ownRelationsArgs(bucket sharding.Bucket, id UserID, kind int, other UserID) []any {
	return []any{bucket, int64(id), relFollow, relBlock, relBlockedBy, relMute, kind, kind, int64(other), maxRows}
}

func (b *Backend) readOwnRelations(ctx context.Context, r *sharding.Reader, id UserID, v *viewerState) error {
	kind, other := 0, UserID(0)
	for n := maxRows; n == maxRows; {
		rows, err := r.Query(ctx, ownRelations, ownRelationsArgs(b.bucket(id), id, kind, other)...)
		if err != nil {
			return err
		}
		for n = 0; rows.Next(); n++ {
			var state int
			var rev int64
			if err := rows.Scan(&kind, &other, &state, &rev); err != nil {
				_ = rows.Close()
				return err
			}
			if state == stateLive {
				v.relate(kind, other, rev)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (v *viewerState) relate(kind int, other UserID, rev int64) {
	switch kind {
	case relFollow:
		v.follows[other] = rev
	case relBlock:
		v.blocks[other] = struct{}{}
	case relBlockedBy:
		v.blockedBy[other] = struct{}{}
	case relMute:
		v.mutes[other] = struct{}{}
	}
}

func (b *Backend) readOwnReposts(ctx context.Context, r *sharding.Reader, id UserID, v *viewerState) error {
	of := MessageID{}
	for n := maxRows; n == maxRows; {
		rows, err := r.Query(ctx, `
			SELECT referenced_id, referenced_msg_id, state
			FROM user_repost
			WHERE bucket = ? AND user_id = ? AND referenced_id >= ? AND (referenced_id, referenced_msg_id) > (?, ?)
			ORDER BY referenced_id, referenced_msg_id LIMIT ?`,
			b.bucket(id), int64(id), int64(of.Author), int64(of.Author), of.N, maxRows)
		if err != nil {
			return err
		}
		for n = 0; rows.Next(); n++ {
			var state int
			if err := rows.Scan(&of.Author, &of.N, &state); err != nil {
				_ = rows.Close()
				return err
			}
			if state == stateLive {
				v.reposts[of] = struct{}{}
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
	}
	return nil
}
